"""Fakes of stores, clocks and metrics, for tests of pure logic; stores have real servers."""
