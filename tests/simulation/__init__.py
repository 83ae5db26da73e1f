"""Deterministic simulation: the real profile view on an in-memory log and Redis Cluster.

`world` puts it together: actors and readers run their real code down to single Redis commands and
Kafka calls, on simulated time. `redis_cluster` and `kafka` model the stores, `scripts` the Lua
scripts, and `oracle` knows what an answer must hold. `test_histories` generates random histories
and checks every answer; `test_known_histories` has those that were late or wrong once;
`test_mutants` and `test_rules_of_moves` remove the design's rules one at a time.
"""
