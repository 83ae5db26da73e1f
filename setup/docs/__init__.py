"""Documents that are generated from code: settings, metrics."""
