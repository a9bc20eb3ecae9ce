"""One picture's way: download, decode, forward, draw, upload."""
