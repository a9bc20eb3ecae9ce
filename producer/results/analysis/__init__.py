"""Jobs as a whole: how often one was right, where its network looked, how faithful its maps are, and two compared."""
