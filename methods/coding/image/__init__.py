"""Image codecs: files through Pillow, and models of CompressAI."""
