"""Pictures and archives of tests."""
