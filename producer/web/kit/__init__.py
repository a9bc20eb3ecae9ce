"""The gallery: one page that opens from disk, with every picture of a job and where the network looked."""
