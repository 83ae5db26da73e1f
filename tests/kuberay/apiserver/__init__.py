"""The manifests against a real API server and a real KubeRay operator: ``make test-kubernetes``."""
