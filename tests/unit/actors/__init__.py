"""The stream side: batches, leases, retention, the loop of a partition, the tools' rules."""
