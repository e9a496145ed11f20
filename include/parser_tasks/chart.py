"""The chart of what became of the tasks of a day: what is drawn where. The template only writes it down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from include.parser_tasks.views import Bucket

# From the bottom of a column to its top; `late` were cancelled at their deadline.
KINDS = ("done", "open", "cancelled", "late", "failed")
# In the units of the drawing, which is stretched to the room that there is. A single task is seen beside a thousand.
COLUMN, BAR, HEIGHT, LEAST = 10.0, 8.0, 100.0, 1.0


@dataclass(frozen=True)
class Bar:
    """A rectangle of one kind."""

    kind: str
    x: float
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """The tasks that were created in a part of the day."""

    begin: datetime
    counts: Mapping[str, int]
    bars: Sequence[Bar] = ()

    @property
    def sentence(self) -> str:
        """`from 13:00 UTC: 12 done, 1 failed`."""
        return f"from {self.begin:%H:%M} UTC: {_told(self.counts) or 'no task'}"


@dataclass(frozen=True)
class Chart:
    """The columns from the oldest to the newest; `top` is the number of tasks at the upper edge."""

    columns: Sequence[Column]
    top: int

    @property
    def width(self) -> float:
        """Of the drawing."""
        return COLUMN * len(self.columns)

    @property
    def totals(self) -> Mapping[str, int]:
        """Of each kind that there is."""
        sums = {kind: sum(column.counts[kind] for column in self.columns) for kind in KINDS}
        return {kind: count for kind, count in sums.items() if count}

    @property
    def sentence(self) -> str:
        """What the drawing says."""
        return f"Tasks created in the last 24 hours, by what became of them: {_told(self.totals) or 'none'}."


def draw(buckets: Sequence[Bucket]) -> Chart:
    """The chart of the parts of a day."""
    top = _round(max((bucket.total for bucket in buckets), default=0))
    return Chart([_column(bucket, number * COLUMN, top) for number, bucket in enumerate(buckets)], top)


def _column(bucket: Bucket, x: float, top: int) -> Column:
    counts = {kind: getattr(bucket, kind) for kind in KINDS}
    bars, y = [], HEIGHT
    for kind, count in counts.items():
        if count:
            height = max(LEAST, HEIGHT * count / top)
            y -= height
            bars.append(Bar(kind, x + (COLUMN - BAR) / 2, round(max(0.0, y), 2), round(height, 2)))
    return Column(datetime.fromtimestamp(bucket.at, UTC), counts, bars)


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)


def _round(most: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50, …, so that the number at the upper edge is a round one."""
    size = 1
    while most > 5 * size:
        size *= 10
    return next(step * size for step in (1, 2, 5) if most <= step * size)
