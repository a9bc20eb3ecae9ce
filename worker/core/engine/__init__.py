"""Micro-batches through the network, on a CPU or on CUDA."""
