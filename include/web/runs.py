"""A run of a DAG as Airflow has it, for the pages of systems."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

UNENDED = ("queued", "running")


@dataclass(frozen=True)
class DagRun:
    """A run: `who` started it ("" for the schedule), what it was `given`, when it was due, began and ended."""

    dag_id: str
    run_id: str
    state: str
    due: datetime
    began: datetime | None = None
    ended: datetime | None = None
    who: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end."""
        return self.state not in UNENDED

    def seconds(self, now: datetime | None = None) -> float | None:
        """How long it took, or has taken until now; None where it has not begun."""
        if self.began is None:
            return None
        return ((self.ended or now or datetime.now(UTC)) - self.began).total_seconds()
