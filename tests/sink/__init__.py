"""Exactly once: kills and errors at every step of a flush, twins, rebuilds, retention."""
