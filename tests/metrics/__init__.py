"""Metrics, alerts and dashboard, checked with a running platform and Prometheus."""
