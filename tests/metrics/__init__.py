"""Metrics, alerts and dashboard against what a running platform and Prometheus say."""
