"""What stands between Ray Serve and its HAProxy, on one machine and on Kubernetes alike.

Serve renders a configuration and starts HAProxy with it; it has no setting for most of what matters
at the front door. So Ray is told that ``setup/ingress/haproxy`` is its HAProxy: that rewrites the
configuration (`setup.ingress.config`) and becomes HAProxy. `setup.ingress.leave` is for a
pod that ends.
"""
