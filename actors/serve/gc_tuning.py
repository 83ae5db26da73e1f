"""Python's garbage collector, set for a process that does nothing but count tags.

Where an actor's processor time went (``python -m tests.bench.sink``, py-spy; µs a tag): 14.7 at
first, 11.3 after parsing each time once and writing rows out in one go; a quarter of that was the
collector, which by default looks for cycles after every 700 new objects, and a batch is tens of
thousands, without a cycle. 8.7 since: about 3 in aiokafka (fetching, a record object a tag), 2.1
for reading the JSON, 0.4 adding up, 2.5 names, roll-ups, sorting and writing out statements.
"""

import gc
from typing import Final

_NEW_OBJECTS: Final = 50_000


def collect_seldom() -> None:
    """Look for cycles after 50,000 new objects; sessions and tasks make few of them."""
    gc.set_threshold(_NEW_OBJECTS)
