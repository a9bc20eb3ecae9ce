"""Time: deadlines, outages, periodic work, stages, throughput."""
