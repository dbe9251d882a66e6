"""How long a sweep takes with more workers, or a larger sweep at all, predicted from the times of a run."""
