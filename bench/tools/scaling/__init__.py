"""``splitbench scale``: how long a sweep takes with more workers."""
