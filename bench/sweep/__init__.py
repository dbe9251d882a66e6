"""What is asked: the schema of sweep files and the sweeps that ship."""
