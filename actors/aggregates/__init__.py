"""The aggregate view: counts in MySQL that move with their offset in one transaction."""
