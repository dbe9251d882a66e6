"""``splitbench support``: which published models can be cut, and how."""
