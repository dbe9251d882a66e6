"""From CSVs to comparisons, figures and reports; never imports torch."""
