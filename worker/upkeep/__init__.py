"""What a worker does beside chunks: reaper, heartbeat, webhooks, shutdown."""
