"""Jobs of a test: submitted, worked off by hand, or made up."""
