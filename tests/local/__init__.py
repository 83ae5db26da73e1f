"""What setup.local starts and stops: real processes, stores and a Ray of tiny applications."""
