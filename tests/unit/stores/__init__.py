"""Clients of the stores against the real ones, and the rules around them with fakes."""
