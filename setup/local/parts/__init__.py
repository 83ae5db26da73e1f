"""One module per kind of server: its settings, its first start, its command and its health."""
