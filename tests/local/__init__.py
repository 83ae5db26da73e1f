"""setup.local with real processes: stores, and a Ray of tiny applications."""
