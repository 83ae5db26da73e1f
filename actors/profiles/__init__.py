"""The profile view: the log applied to the shards of a Redis Cluster, with its position in each."""
