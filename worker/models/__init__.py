"""The models that a worker is asked for: their files fetched, read within limits, described."""
