"""Metrics of the dictionary's size."""

from typing import Final

from actors.aggregates.retired_names import NamesStatus
from serve_app.core.metrics import (
    DICTIONARY_MAX_NAMES,
    DICTIONARY_NAMES,
    NAMES_RETIRED,
    Recorder,
    Totals,
)
from serve_app.core.names import DIMENSION_BRAND, DIMENSION_CATEGORY, DIMENSION_ORIGIN

_LABELS: Final = {
    DIMENSION_ORIGIN: "origin",
    DIMENSION_BRAND: "brand_id",
    DIMENSION_CATEGORY: "category_id",
}


class NameMetrics:
    """Each actor reports the size as it last counted it, at most half a minute ago."""

    def __init__(self, recorder: Recorder, status: NamesStatus) -> None:
        """``status`` is kept up to date by ``RetiredNames``."""
        self._recorder = recorder
        self._totals = Totals(recorder)
        self._status = status

    def collect(self) -> None:
        """Report it."""
        for dimension, names in self._status.names.items():
            self._recorder.set(DICTIONARY_NAMES, names, _LABELS[dimension])
        self._recorder.set(DICTIONARY_MAX_NAMES, self._status.max_names)
        self._totals.tell(NAMES_RETIRED, self._status.retired)
