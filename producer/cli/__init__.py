"""The camq command."""
