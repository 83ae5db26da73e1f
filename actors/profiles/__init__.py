"""The profile view: tags of the log in Redis."""
