"""What is measured: accuracy, rate, ledger, latency."""
