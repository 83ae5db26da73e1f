"""Pure logic that computes for seconds: searches, long rhythms, hours of the stream."""
