"""Devices: which GPU this process uses, and one worker per GPU."""
