"""Run-length coders of symbols that are mostly zero."""
