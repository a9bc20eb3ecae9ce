"""Archives: the pictures in them, and what stands beside a picture."""
