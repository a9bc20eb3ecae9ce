"""The shipped containers, started for real on a Docker engine of their own. `make containers`; not in the suite."""
