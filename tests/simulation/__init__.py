"""The profile view's own code against a log and a Redis Cluster in memory, with time as a value.

`world` puts it together: actors and readers are the real ones down to a Redis command and a Kafka
call. `redis_cluster` and `kafka` do what the stores do, `scripts` what the Lua scripts do, and
`oracle` knows what an answer must hold. `test_histories` makes up histories and checks all of them;
`test_known_histories` has those that were late or wrong once; `test_mutants` and
`test_rules_of_moves` take the design's rules out, one at a time.
"""
