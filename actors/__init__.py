"""The stream side: one actor per Kafka partition, the Serve application ``case3``.

It imports ``serve_app.core`` and ``serve_app.stores``, and for its Ray wrapper
``serve_app.ray_metrics`` and ``serve_app.ray_logs``. The loops (``partition``, ``repair``,
``replay``) are plain classes over ``ports``; Ray appears in ``deployments``, ``ingress`` and
``app`` only.
"""
