"""Child processes: bound to their parent, supervised, restarted."""
