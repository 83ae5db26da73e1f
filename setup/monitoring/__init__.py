"""What is watched: alert rules and the Grafana dashboard, for one machine and for Kubernetes."""
