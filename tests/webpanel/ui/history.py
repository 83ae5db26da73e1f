"""The data of the charts: one point per second at first, merged over time to bound memory."""

from typing import Any

Point = dict[str, float | None]

MOST = 1800


class History:
    """Points in order of time; neighbours are merged when there are too many."""

    def __init__(self, most: int = MOST) -> None:
        """Keep at most `most` points (an even number)."""
        self._most = most
        self._part: list[Point] = []
        self.seconds_a_point = 1
        self.points: list[Point] = []

    def add(self, second: Point) -> Point | None:
        """Add one second; returns the point if that completes one."""
        self._part.append(second)
        if len(self._part) < self.seconds_a_point:
            return None
        point = merged(self._part)
        self._part = []
        self.points.append(point)
        return point

    def thin(self) -> bool:
        """Halve the points if there are too many; returns whether it did."""
        if len(self.points) <= self._most:
            return False
        points = self.points
        self.points = [merged(points[at : at + 2]) for at in range(0, len(points), 2)]
        self.seconds_a_point *= 2
        return True

    def document(self) -> dict[str, Any]:
        """Columns of equal length; None where a point has no such figure."""
        names = dict.fromkeys(name for point in self.points for name in point)
        return {
            "seconds_a_point": self.seconds_a_point,
            "columns": {name: [point.get(name) for point in self.points] for name in names},
        }


def merged(points: list[Point]) -> Point:
    """Merge points: the last time, the highest latency and lag, the mean rate."""
    if len(points) == 1:
        return points[0]
    result: Point = {}
    for name in dict.fromkeys(name for point in points for name in point):
        values = [value for point in points if (value := point.get(name)) is not None]
        if not values:
            result[name] = None
        elif name.endswith("_ms") or name.startswith("lag_"):
            result[name] = max(values)
        else:
            result[name] = round(sum(values) / len(points), 3)
    return result
