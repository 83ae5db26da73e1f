"""The whole Web Panel against a reference server that can be told to be wrong."""
