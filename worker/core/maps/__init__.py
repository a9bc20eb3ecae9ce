"""From activations and the head's weights to maps and predictions."""
