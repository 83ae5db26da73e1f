"""The operator's tools on a running platform: rebuild as a job, verify, erase."""
