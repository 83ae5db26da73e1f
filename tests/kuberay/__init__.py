"""The Kubernetes side, checked without a cluster: schemas, rules of our own, scripts."""
