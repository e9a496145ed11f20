"""What is measured in a process of its own: `python -m tests.bench.alone floor|task URL ROWS IN_FLIGHT FOLDER`.

`floor` is a bare aiohttp loop that fetches every URL and reads its JSON, the least that has to be done. `task` is
Headrace's own code of one mapped task over all rows: client, caller and ledger. Prints seconds, CPU seconds and peak
memory as one JSON object; what each needs beforehand (the interpreter, imports, the plan) is not counted.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

import aiohttp

from include.common.http.endpoint import Endpoint
from include.common.limits.unlimited import Unlimited
from include.enrichment.chunk import ChunkCalls, Try
from include.enrichment.client import Client
from include.enrichment.job import Job
from include.enrichment.models import Pipeline, Request
from include.enrichment.planner import Capacity, make_plan
from include.enrichment.run import RunFolder

REQUEST = Request(connection="csv_api", path="/echo/{id}")
PIPELINE = Pipeline("bench", "rows.csv", "out.json", "id", REQUEST, "csv_api", "none", single_rows=0)


async def floor(url: str, rows: int, in_flight: int) -> None:
    """Every URL fetched, at most `in_flight` at once, and its JSON read."""
    numbers = iter(range(rows))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for number in numbers:
                async with session.get(f"{url}/echo/{number}") as response:
                    await response.json()

        await asyncio.gather(*(work() for _ in range(in_flight)))


async def task(url: str, folder: RunFolder, in_flight: int) -> None:
    """The one chunk of a planned run."""
    plan = folder.read_plan()
    async with Client(REQUEST, Endpoint(url, "bench")) as client:
        calls = ChunkCalls(folder, plan, plan.chunks[0], Try(1, 3), Unlimited(), in_flight)
        outcome = await calls.run(client)
    assert outcome.ok == plan.rows, outcome


def main() -> None:
    """Measure one kind."""
    kind, url, rows, in_flight, name = sys.argv[1:]
    folder = RunFolder(Path(name) / "storage", "bench", "bench")
    if kind == "task":
        make_plan(PIPELINE, Job(Path(name) / "rows.csv", Path(name) / "out.json", "id", "none"), folder, Capacity(1))
    cpu, start = time.process_time(), time.perf_counter()
    if kind == "floor":
        asyncio.run(floor(url, int(rows), int(in_flight)))
    else:
        asyncio.run(task(url, folder, int(in_flight)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "memory": peak}))


if __name__ == "__main__":
    main()
