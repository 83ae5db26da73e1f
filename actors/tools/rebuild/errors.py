"""Why a rebuild ended without a swap; the live tables are then as they were."""


class RebuildRefused(Exception):
    """Nothing was changed; the message says what to do."""


class RebuildFailed(Exception):
    """Counting cannot go on; what was counted stays in the tables beside the live ones."""
