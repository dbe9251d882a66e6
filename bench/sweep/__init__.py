"""What is asked: the schema of sweep files, reading them, their cells, and the bundled sweeps."""
