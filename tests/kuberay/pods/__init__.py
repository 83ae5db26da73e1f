"""The platform as pods, on whatever cluster KUBECONFIG leads to; without one, on one of our own."""
