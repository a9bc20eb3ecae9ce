"""Jobs as a whole: two of them beside each other, and how faithful the maps of one are."""
