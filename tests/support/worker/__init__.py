"""Parts of a worker with an adapter that a test declares."""
