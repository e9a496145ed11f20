"""`make bench`: the row engine beside its floor, in one invocation, in alternating order, medians.

The floor is a bare aiohttp loop with the same requests in flight against the same server, which writes nothing. `task`
is headrace's own code for one chunk (limiter off): client, ledger, caller. `run` is the whole DAG run on the
scheduler with LocalExecutor, its start not counted. ROWS, LATENCY (seconds) and IN_FLIGHT set the size; the
run's requests in flight are those of the pool `csv_api`.
"""

import asyncio
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from include.enrichment.caller import Calls, Unlimited
from include.enrichment.client import Client
from include.enrichment.endpoint import Endpoint
from include.enrichment.ledger import Segment
from include.enrichment.models import Request
from include.enrichment.run import RunFolder
from include.orchestration.embedded.environment import USER, Home
from include.orchestration.embedded.processes import free_port
from include.orchestration.embedded.rest import AirflowApi
from include.orchestration.embedded.service import using
from include.orchestration.pools import slots

ROUNDS = 3
ROWS = int(os.environ.get("ROWS") or 2000)
LATENCY = float(os.environ.get("LATENCY") or 0.02)
IN_FLIGHT = int(os.environ.get("IN_FLIGHT") or slots("csv_api"))


@contextlib.contextmanager
def demo_api() -> Iterator[str]:
    """The demo API in a process of its own, so that its work is not ours."""
    port = free_port()
    command = [sys.executable, "-m", "include.demo_api", "--port", str(port), "--latency", str(LATENCY)]
    with subprocess.Popen(command) as process:
        url = f"http://127.0.0.1:{port}"
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/_demo", trust_env=False)
                break
            time.sleep(0.1)
        try:
            yield url
        finally:
            process.terminate()


async def floor(url: str) -> None:
    """The least that has to be done: every URL fetched and its JSON read."""
    numbers = iter(range(ROWS))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for number in numbers:
                async with session.get(f"{url}/echo/{number}") as response:
                    await response.json()

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def task(url: str) -> None:
    """Headrace's code of one mapped task over all rows."""
    rows = ({"n": number, "key": str(number), "v": [str(number)]} for number in range(ROWS))
    with tempfile.TemporaryDirectory() as folder, Segment(Path(folder), 0, 1) as segment:
        async with Client(Request("csv_api", "/echo/{id}"), Endpoint(url, "bench")) as client:
            outcome = await Calls(client, segment, ("id",), {}, Unlimited()).run(rows, IN_FLIGHT)
    assert outcome.ok == ROWS, outcome


def run(url: str, home: Home, web: str, folder: Path) -> None:
    """The whole DAG run, from the trigger to its end."""
    source = folder / "rows.csv"
    source.write_text("id\n" + "".join(f"{number}\n" for number in range(ROWS)))
    api = AirflowApi(web, USER, home.password())
    conf = {"source": str(source), "output": str(folder / "out.json"), "rate_limit": "none", "api_url": f"{url}/echo"}
    run_id = api.trigger("csv_processing", conf)
    while (state := api.run_state("csv_processing", run_id)) not in ("success", "failed"):
        time.sleep(0.05)
    assert state == "success", RunFolder(folder / "storage", "csv_processing", run_id).path


def measured(url: str, what: Callable[[], Any]) -> tuple[float, float, dict[str, Any]]:
    """Seconds, CPU seconds of this process, and what the server counted."""
    httpx.put(f"{url}/_demo", json={"latency": LATENCY}, trust_env=False)
    cpu, start = time.process_time(), time.perf_counter()
    what()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return seconds, cpu, httpx.get(f"{url}/_demo", trust_env=False).json()


def main() -> None:
    """Measure and print the table."""
    results: dict[str, list[tuple[float, float, dict[str, Any]]]] = {"floor": [], "task": [], "run": []}
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name, demo_api() as url:
        folder, home = Path(name), Home(Path(name) / "home")
        os.environ.update(HEADRACE_STORAGE=str(folder / "storage"), API_URL=f"{url}/echo")
        home.create()
        with using(home) as running:
            kinds: dict[str, Callable[[], Any]] = {
                "floor": lambda: asyncio.run(floor(url)),
                "task": lambda: asyncio.run(task(url)),
                "run": lambda: run(url, home, running.web, folder),
            }
            for number in range(ROUNDS):
                for kind in list(kinds)[:: 1 if number % 2 == 0 else -1]:
                    results[kind].append(measured(url, kinds[kind]))
    print(
        f"{ROWS} rows, {LATENCY * 1000:g} ms, {IN_FLIGHT} in flight (run: pool of {slots('csv_api')}), {ROUNDS} rounds"
    )
    print(f"{'':8}{'seconds':>9}{'x floor':>9}{'calls':>8}{'peak':>6}{'CPU ms/row':>12}")
    base = statistics.median(seconds for seconds, _, _ in results["floor"])
    for kind, rounds in results.items():
        seconds = statistics.median(seconds for seconds, _, _ in rounds)
        cpu = statistics.median(cpu for _, cpu, _ in rounds) / ROWS * 1000
        calls, peak = rounds[-1][2]["calls"], max(stats["peak"] for _, _, stats in rounds)
        shown = f"{cpu:12.3f}" if kind != "run" else f"{'-':>12}"
        print(f"{kind:8}{seconds:9.2f}{seconds / base:9.2f}{calls:8}{peak:6}{shown}")
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
