"""A network ready for maps: architecture, weights, labels, head, target layer, proof."""
