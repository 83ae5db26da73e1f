"""The platform on Kubernetes: kustomize manifests, and the renderer of those from setup/."""
