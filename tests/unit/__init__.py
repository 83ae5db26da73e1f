"""Each part by itself, with plain values, fakes, or the one real store that it talks to."""
