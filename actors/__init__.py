"""The stream side: one actor per Kafka partition, the Serve application ``case3``.

It imports ``serve_app.core`` and ``serve_app.stores``, nothing else of ``serve_app``. The loops
(``partition``, ``repair``, ``replay``) are plain classes over ``ports``; Ray appears in
``deployments`` and ``app`` only.
"""
