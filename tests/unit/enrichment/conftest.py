"""What the tests of the row engine share: a pipeline, a run's folder, a plan of a CSV's text, and its answers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from include.common.storage import Place, remove_folder
from include.enrichment.job import Job
from include.enrichment.ledger import Line, open_segment
from include.enrichment.models import Chunk, Pipeline, Request
from include.enrichment.planner import Capacity, make_plan
from include.enrichment.results import Settled, settle
from include.enrichment.run import Plan, RunFolder


class Planning:
    """Makes plans in `folder` from CSVs written to `source`; `tasks` is what the pool lets run at once."""

    def __init__(self, root: Path, storage: Place | None = None) -> None:
        self.source = root / "input.csv"
        self.output = root / "output.json"
        self.storage = storage or root / "storage"
        self.folder = self.run_folder("manual__1")

    def run_folder(self, run_id: str) -> RunFolder:
        """The folder of another run of the pipeline."""
        return RunFolder(self.storage, "csv_processing", run_id)

    def write(self, content: str | bytes) -> None:
        """The source's content."""
        self.source.write_bytes(content.encode() if isinstance(content, str) else content)

    def job(self, **choices: Any) -> Job:
        """A job on the source, with the run's own choices."""
        return Job(**{"source": self.source, "output": self.output, "key": "id", "rate_limit": "none"} | choices)

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
        self,
        content: str | bytes | None = None,
        pipeline: dict[str, Any] | None = None,
        tasks: int = 5,
        requests: int = 1,
        **choices: Any,
    ) -> list[Chunk]:
        """Write the source, where `content` is given, and plan a run on it."""
        if content is not None:
            self.write(content)
        capacity = Capacity(tasks, requests)
        plan = make_plan(self.pipeline(**pipeline or {}), self.job(**choices), self.folder, capacity)
        return list(plan.chunks)

    def redrive(self, run_id: str, **choices: Any) -> list[Chunk]:
        """Plan a run that takes over this one, which `folder` is from here on."""
        earlier, self.folder = self.folder, self.run_folder(run_id)
        return self.plan(**{"retry": earlier, "limit": earlier.read_plan().limit} | choices)

    def answered(self, *entries: Line, chunk: int = 0, try_number: int = 1) -> None:
        """Write entries as a task of the chunk does."""

        async def write() -> None:
            async with open_segment(self.folder.segments, chunk, try_number) as segment:
                await asyncio.gather(*map(segment.append, entries))

        asyncio.run(write())

    @property
    def made(self) -> Plan:
        """The plan, as every task reads it."""
        return self.folder.read_plan()

    def settled(self, answers: bool = True) -> list[Settled]:
        """Every row as it stands."""
        return list(settle(self.folder, self.made, answers))


@pytest.fixture
def planning(tmp_path: Path) -> Planning:
    return Planning(tmp_path)


@pytest.fixture(scope="session")
def make_planning() -> type[Planning]:
    """For a test that makes several, or one whose storage is not local."""
    return Planning


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Place]:
    """A place that is not local: only whole objects, no folders."""
    found = UPath(f"memory://{tmp_path.name}")
    yield found
    remove_folder(found)
