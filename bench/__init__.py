"""The harness: sweeps, evaluation, results, comparison."""
