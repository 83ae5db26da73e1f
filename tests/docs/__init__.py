"""Documents: links, paths and commands in them, generated pages, tables of results."""
