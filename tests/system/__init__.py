"""The complete platform, from `up` to `down`, judged by the Web Panel."""
