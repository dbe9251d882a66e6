"""The documentation site: its sources are laid out here, and Sphinx makes pages of them (``make docs``)."""
