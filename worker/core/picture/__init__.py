"""One picture: decode, preprocess."""
