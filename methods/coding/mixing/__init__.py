"""Range coding with probabilities mixed from many contexts."""
