"""What figures share: pages, panels, axes, marks and titles."""
