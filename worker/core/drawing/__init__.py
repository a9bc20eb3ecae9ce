"""Maps over pictures: boxes, masks, overlays, and what is written on them."""
