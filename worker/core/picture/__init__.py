"""One picture: decode, preprocess, draw, encode."""
