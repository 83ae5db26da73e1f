"""What can go wrong between the log and a view of it, split by what to do about it.

::

    ActorError
    ├── StoreUnavailable       a store does not answer or is not set up yet: wait, read again
    │   ├── LogUnavailable
    │   ├── SinkUnavailable
    │   ├── ViewUnavailable
    │   │   └── SlotElsewhere
    │   └── DeadLettersUnavailable
    ├── Conflict               another instance has moved this partition's offset: go on standby
    │   └── ViewConflict       or a fail-over, an erasure or a tool moved a shard's position
    └── Fatal                  retrying alone will not help, a person has to look
        ├── TopicReplaced      the topic was deleted and made again
        ├── LogTruncated       the log no longer has (or never had) the next offset
        ├── SinkBroken         the database refuses the statement itself
        └── ViewBroken         Redis refuses the write: out of memory, a key of another type

After each of them the actor discards what it had not committed and reads its offset again, so
none can lose or double a count. ``Fatal`` is shown as the state ``failed: …`` and looked at again
at long intervals, so that a repair by hand needs no restart.
"""


class ActorError(Exception):
    """Anything below; never raised itself."""


class StoreUnavailable(ActorError):
    """A store does not answer, or is not ready yet. Worth waiting for."""


class LogUnavailable(StoreUnavailable):
    """Kafka did not answer in time, or does not know the topic (yet)."""


class SinkUnavailable(StoreUnavailable):
    """The database did not answer, gave up a lock, or lost the connection.

    A commit may or may not have happened: the offset has to be read again before anything else.
    """


class ViewUnavailable(StoreUnavailable):
    """The master of a shard did not answer, or is none any more; the write may have been done."""


class SlotElsewhere(ViewUnavailable):
    """A slot is no longer (or not wholly) in the shard, whatever the map says."""


class DeadLettersUnavailable(StoreUnavailable):
    """The dead-letter topic did not acknowledge."""


class Conflict(ActorError):
    """The stored offset is not where this actor left it: another one works on the partition."""


class ViewConflict(Conflict):
    """The position in the shard is not where this feed left it: read it again and go on there."""


class Fatal(ActorError):
    """Waiting does not help by itself."""


class TopicReplaced(Fatal):
    """The topic's id is not the one that the stored offset belongs to."""


class LogTruncated(Fatal):
    """The next offset lies outside of the log: tags were lost, or the log was replaced."""


class SinkBroken(Fatal):
    """The database answered, and refused: no such column, no permission, value out of range."""


class ViewBroken(Fatal):
    """Redis answered, and refused: no memory left, a key of another type."""
