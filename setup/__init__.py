"""Brings stores and clusters up: local processes, schema and topics, Kubernetes.

Imports ``serve_app.core``; nothing in the product imports it back.
"""
