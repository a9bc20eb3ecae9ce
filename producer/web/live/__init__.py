"""The live page: jobs, pictures and workers in a browser, served on loopback to whoever has the link."""
