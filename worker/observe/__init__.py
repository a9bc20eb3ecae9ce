"""What others see of a worker: metrics, health, traces."""
