"""Each store's clients on real servers, shared by all tests of a session."""
