"""Brings the platform up on a Kubernetes cluster: up.sh, down.sh, and the programs of jobs."""
