"""The log as the actors read it: records, readers, dead letters."""
