"""Checkpoint files that others wrote: what is in them, read without running anything of theirs."""
