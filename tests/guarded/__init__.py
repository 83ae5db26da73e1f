"""The whole platform with a token: who is let in, and requests made up from its own document."""
