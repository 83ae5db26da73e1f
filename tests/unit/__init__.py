"""Each part by itself, with plain values and fakes: nothing here starts a server."""
