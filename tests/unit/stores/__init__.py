"""The rules around the stores, with fakes; the stores' own tests are in tests/stores."""
