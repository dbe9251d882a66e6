"""``splitbench data``: fetch, check and export folders of images."""
