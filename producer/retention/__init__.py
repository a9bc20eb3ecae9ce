"""Deleting jobs, and collecting inputs that no job refers to."""
