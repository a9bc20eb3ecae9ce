"""One chunk's way: the Celery task, the claim, the lease, the commit, quarantine."""
