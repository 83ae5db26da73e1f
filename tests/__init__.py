"""The tests; `unit` mirrors the packages, `contract` speaks HTTP to the running system."""
