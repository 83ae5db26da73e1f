"""Tests of the Web Panel itself, the pure parts with plain values and hypothesis.

The whole panel runs against a reference server that can be told to be wrong.
"""
