"""From what the user gives (paths, archives, manifests, s3:// prefixes, pictures in memory) to single pictures."""
