"""A real Kubernetes in namespaces of this machine: its commands from Go modules, no engine."""
