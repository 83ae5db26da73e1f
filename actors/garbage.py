"""Python's garbage collector, set for a process that does nothing but count tags.

Where an actor's processor time went (``python -m tests.bench.sink``, py-spy; µs a tag): 14.7 at
first; a quarter of it was the collector, which by default looks for cycles after every 700 new
objects, of which a batch has tens of thousands and no cycle. 8.7 since, of which about 2.6 are
aiokafka's records, 2.2 reading the JSON, 1 adding up, 2.5 sorting and writing out the statements.
"""

import gc
from typing import Final

_NEW_OBJECTS: Final = 50_000


def collect_seldom() -> None:
    """Look for cycles after 50,000 new objects; sessions and tasks make few of them."""
    gc.set_threshold(_NEW_OBJECTS)
