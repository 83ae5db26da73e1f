"""The Ray side: deployments, their status page and their metrics."""
