"""The stream side: one actor per Kafka partition, the Serve application ``case3``.

Rooms, each of which imports only those before it: ``log`` (records and readers), the two views
``aggregates`` (MySQL) and ``profiles`` (Redis), which do not know of each other, and then ``serve``
(the Ray side) and ``tools`` (what an operator runs). The loops are plain classes over the ``ports``
of their room; Ray appears in ``serve`` and ``app`` only.
"""
