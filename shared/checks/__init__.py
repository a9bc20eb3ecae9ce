"""What a request may ask for; producer and worker make the same checks."""
