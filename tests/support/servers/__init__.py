"""Servers of a test, and clients of the web server."""
