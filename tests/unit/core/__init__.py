"""Wire types and rules: plain values and hypothesis, no store."""
