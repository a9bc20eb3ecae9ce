"""Time: deadlines, periodic work, and the one place where a worker measures its own work."""
