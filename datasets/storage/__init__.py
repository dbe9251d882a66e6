"""Where images lie, folders and archives, and what is kept of them from run to run: digests and lists."""
