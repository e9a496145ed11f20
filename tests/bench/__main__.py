"""`make bench`: the row engine beside its floor, in one invocation, in alternating order, medians.

CASE=pages, upload, task-flow and task-lists measure other things, each in a module of that name.

`floor` is a bare aiohttp loop with the same requests in flight against the same server, `task` Headrace's own code of
one task (both in `alone.py`), `run` the whole DAG run on the scheduler with LocalExecutor, from its trigger to its end;
the start of Airflow is not counted. CASE chooses among the cases below; ROWS, LATENCY (seconds), IN_FLIGHT make one of
your own, ROUNDS says how often each is measured.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import Running, free_port
from include.launch.embedded.service import using
from include.orchestration.pools import POOLS, read_pools
from include.orchestration.rest import AirflowApi
from tests.bench import pages, task_flow, task_lists, upload
from tests.bench.watch import Watch

# Rows up to which a row is a task of its own (`Pipeline.single_rows`).
SINGLE = 20


@dataclass(frozen=True)
class Case:
    """What is measured. `latency` is in seconds; `kinds` are measured in alternating order, `rounds` times."""

    rows: int
    latency: float
    in_flight: int
    rounds: int = 3
    kinds: tuple[str, ...] = ("floor", "task", "run")

    def title(self) -> str:
        """In words."""
        tasks = "a task a row" if self.rows <= SINGLE else f"{self.in_flight} in flight"
        return f"{self.rows:,} rows, {self.latency * 1000:g} ms, {tasks}, {self.rounds} rounds"


CASES = {
    "ten-thousand": Case(10_000, 0.05, 50),
    "twenty": Case(20, 0.0, 5),
    "hundred-thousand": Case(100_000, 0.005, 100),
    "million": Case(1_000_000, 0.0, 50, rounds=1, kinds=("floor", "run")),
}
# What is measured in another way, each in a module of its own.
OTHERS = {"upload": upload.measure, "task-flow": task_flow.measure, "task-lists": task_lists.measure}


@dataclass(frozen=True)
class Measured:
    """One measurement: CPU in seconds, memory in MB of the largest process, and what the server counted."""

    seconds: float
    cpu: float
    memory: float
    calls: int
    peak: int
    largest: str = ""


@contextlib.contextmanager
def demo_api() -> Iterator[str]:
    """The demo API in a process of its own, so that its work is not ours."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "include.demo_api", "--port", str(port)]) as process:
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


class Bench:
    """One case: its CSV, its server, its Airflow."""

    def __init__(self, case: Case, folder: Path, url: str, home: Home, running: Running) -> None:
        self._case, self._folder, self._url = case, folder, url
        self._running = running
        self._api = AirflowApi(running.web, USER, home.password())

    def measure(self, kind: str) -> Measured:
        """One measurement of `floor`, `task` or `run`, with the server's counts begun anew."""
        httpx.put(f"{self._url}/_demo", json={"latency": self._case.latency}, trust_env=False)
        found = self._run() if kind == "run" else self._alone(kind)
        stats = httpx.get(f"{self._url}/_demo?keys=0", trust_env=False).json()
        return Measured(**found, calls=stats["calls"], peak=stats["peak"])

    def _alone(self, kind: str) -> dict[str, float]:
        case = self._case
        arguments = [kind, self._url, str(case.rows), str(case.in_flight), str(self._folder)]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.bench.alone", *arguments], capture_output=True, text=True, check=True
        )
        return dict(json.loads(ended.stdout))

    def _run(self) -> dict[str, Any]:
        conf = {
            "source": str(self._folder / "rows.csv"),
            "output": str(self._folder / "out.json"),
            "rate_limit": "none",
            "api_url": f"{self._url}/echo",
        }
        with Watch(self._processes) as watch:
            start = datetime.now(UTC)
            run_id = self._api.trigger("csv_processing", conf)
            # Rarely: each look costs the server CPU that the run could use. When it ended, Airflow knows.
            while (found := self._api.find_run("csv_processing", run_id))["state"] not in ("success", "failed"):
                time.sleep(2)
            seconds = (datetime.fromisoformat(found["end_date"]) - start).total_seconds()
        assert found["state"] == "success", f"the run {run_id} failed; its folder is below {self._folder}"
        return {"seconds": seconds, "cpu": watch.cpu, "memory": watch.memory, "largest": watch.largest}

    def _processes(self) -> list[psutil.Process]:
        return [member for started in self._running.processes for member in started.family()]


@contextlib.contextmanager
def prepared(case: Case) -> Iterator[Bench]:
    """A case with everything it needs running."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name, demo_api() as url:
        folder, home = Path(name), Home(Path(name) / "home")
        (folder / "rows.csv").write_text("id\n" + "".join(f"{number}\n" for number in range(case.rows)))
        pools = read_pools(POOLS)
        pools["csv_api"]["slots"] = case.in_flight
        (folder / "pools.json").write_text(json.dumps(pools))
        os.environ |= {
            "HEADRACE_STORAGE": str(folder / "storage"),
            "HEADRACE_POOLS": str(folder / "pools.json"),
            "API_URL": f"{url}/echo",
        }
        home.create()
        with using(home, "csv_processing") as running:
            yield Bench(case, folder, url, home, running)


def show(case: Case, results: dict[str, list[Measured]]) -> None:
    """Print the table of a case."""
    print(f"\n{case.title()}")
    print(f"{'':8}{'seconds':>9}{'x floor':>9}{'calls':>10}{'peak':>6}{'CPU ms/row':>12}{'x floor':>9}{'peak MB':>9}")

    def median(kind: str, name: str) -> float:
        return statistics.median(getattr(measured, name) for measured in results[kind])

    for kind, rounds in results.items():
        seconds, cpu = median(kind, "seconds"), median(kind, "cpu")
        ratios = (seconds / median("floor", "seconds"), cpu / median("floor", "cpu"))
        calls, peak = rounds[-1].calls, max(measured.peak for measured in rounds)
        memory = max(measured.memory for measured in rounds)
        print(
            f"{kind:8}{seconds:9.2f}{ratios[0]:9.2f}{calls:10}{peak:6}"
            f"{cpu / case.rows * 1000:12.3f}{ratios[1]:9.2f}{memory:9.0f}",
            flush=True,
        )
    beyond = median("run", "seconds") - median("floor", "seconds")
    largest = max(results["run"], key=lambda measured: measured.memory).largest
    print(
        f"run: {beyond:.1f} s more than the floor; peak MB is of the largest of Airflow's processes, `{largest[:80]}`"
    )


def chosen() -> list[Case]:
    """The cases that the environment asks for."""
    given: dict[str, Any] = {
        name: os.environ[name] for name in ("ROWS", "LATENCY", "IN_FLIGHT") if os.environ.get(name)
    }
    rounds = os.environ.get("ROUNDS")
    names = os.environ.get("CASE", "").split()
    if unknown := [name for name in names if name not in CASES]:
        sys.exit(f"error: CASE is `{unknown[0]}`; allowed is one of {', '.join((*CASES, 'pages', *OTHERS))}")
    cases = [CASES[name] for name in names] or list(CASES.values())
    if given:
        cases = [Case(int(given.get("ROWS", 2000)), float(given.get("LATENCY", 0.02)), int(given.get("IN_FLIGHT", 5)))]
    return [replace(case, rounds=int(rounds or case.rounds)) for case in cases]


def main() -> None:
    """Measure and print the tables."""
    if os.environ.get("CASE") == "pages":
        with demo_api() as url:
            pages.measure(url)
        return
    if measure := OTHERS.get(os.environ.get("CASE", "")):
        measure()
        return
    for case in chosen():
        results: dict[str, list[Measured]] = {kind: [] for kind in case.kinds}
        with prepared(case) as bench:
            for number in range(case.rounds):
                for kind in case.kinds[:: 1 if number % 2 == 0 else -1]:
                    results[kind].append(bench.measure(kind))
        show(case, results)


if __name__ == "__main__":
    main()
