"""Rules of our own: each takes an overlay's documents and returns what breaks it, in words."""
