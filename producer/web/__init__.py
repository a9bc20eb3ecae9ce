"""Web pages: the gallery of a job as one file, and the live page."""
