"""Stand-ins for stores, clocks and metrics where pure logic is meant; stores have real servers."""
