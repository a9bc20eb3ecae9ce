"""The Python API: a client that submits jobs, and a handle to one job."""
