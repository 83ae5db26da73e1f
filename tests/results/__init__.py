"""Results of benches and fault runs as files, and the tables that documents show of them."""
