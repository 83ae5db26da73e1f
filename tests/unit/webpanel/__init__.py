"""The pure parts of the Web Panel, with plain values; all of it is in tests/panel."""
