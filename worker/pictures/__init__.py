"""Decoding and drawing, in processes that hold nothing but the pictures."""
