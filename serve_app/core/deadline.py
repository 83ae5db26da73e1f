"""One budget of time that all steps of an operation share."""

from dataclasses import dataclass, field

from serve_app.core.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, seconds."""

    at_s: float
    clock: Clock = field(default_factory=SystemClock)

    @classmethod
    def after(cls, seconds: float, clock: Clock | None = None) -> "Deadline":
        """The deadline ``seconds`` from now."""
        clock = clock or SystemClock()
        return cls(clock.monotonic() + seconds, clock)

    def left_s(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at_s - self.clock.monotonic())

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self.clock.monotonic() >= self.at_s
