"""Brings the platform up on a Kubernetes cluster: up.sh and down.sh, and what its jobs run."""
