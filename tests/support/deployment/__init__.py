"""Compose files, dashboards and documentation as data."""
