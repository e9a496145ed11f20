"""What the tests of the row engine share: a pipeline, a run's folder, and a plan made of a CSV's text."""

from pathlib import Path
from typing import Any

import pytest

from include.enrichment.models import Chunk, Pipeline, Request
from include.enrichment.planner import Job, make_plan
from include.enrichment.run import RunFolder


class Planning:
    """Makes plans in `folder` from CSVs written to `source`; `tasks` is what the pool lets run at once."""

    def __init__(self, root: Path) -> None:
        self.source = root / "input.csv"
        self.output = root / "output.json"
        self.folder = RunFolder(root / "storage", "csv_processing", "manual__1")

    def write(self, content: str | bytes) -> None:
        """The source's content."""
        self.source.write_bytes(content.encode() if isinstance(content, str) else content)

    def job(self, **choices: Any) -> Job:
        """A job on the source, with the run's own choices."""
        return Job(**{"source": self.source, "output": str(self.output), "key": "id", "rate_limit": "none"} | choices)

    def pipeline(self, **changes: Any) -> Pipeline:
        """A pipeline that calls `/{id}`."""
        fields = {
            "name": "csv_processing",
            "source": "data/input.csv",
            "output": "data/output.json",
            "key": "id",
            "request": Request(connection="csv_api", path="/{id}"),
            "pool": "csv_api",
            "rate_limit": "2/minute",
        }
        return Pipeline(**fields | changes)

    def plan(
        self, content: str | bytes | None = None, pipeline: dict[str, Any] | None = None, tasks: int = 5, **choices: Any
    ) -> list[Chunk]:
        """Write the source, where `content` is given, and plan a run on it."""
        if content is not None:
            self.write(content)
        return make_plan(self.pipeline(**pipeline or {}), self.job(**choices), self.folder, tasks)


@pytest.fixture
def planning(tmp_path: Path) -> Planning:
    return Planning(tmp_path)
