"""What an operator runs: rebuild, verify, erase, trace a tag. Nothing imports from here."""
