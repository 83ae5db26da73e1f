"""The platform on Kubernetes: manifests for kustomize, and what renders them from setup/."""
