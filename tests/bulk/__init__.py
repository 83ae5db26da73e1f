"""The Web Panel's stream in bulk: hours of it into the log at full speed, actors that count it."""
