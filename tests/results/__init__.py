"""Result files of benches and fault runs, and their tables in documents."""
