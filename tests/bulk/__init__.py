"""The Web Panel's stream in bulk: fills the log at full speed, and runs actors on it."""
