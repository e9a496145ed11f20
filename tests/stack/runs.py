"""Runs over as many rows as a test wants, against the echo of the demo API, and what must be true of them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.stack.conftest import PROJECT, Stack, wait_until

ECHO = "http://demo-api:8090/echo"


def start(stack: Stack, rows: int, name: str, dag_id: str = "csv_processing", **conf: Any) -> str:
    """Trigger a run over `rows` rows whose files are called `name`; returns its id."""
    stack.write(f"{name}.csv", "id\n" + "".join(f"{number}\n" for number in range(rows)))
    given = {"source": f"{name}.csv", "output": f"{name}.json", "api_url": ECHO, "rate_limit": "none", **conf}
    return stack.api().trigger(dag_id, given)


def write_csv(path: Path, rows: int) -> Path:
    """A CSV of the host with so many rows."""
    path.write_text("id\n" + "".join(f"{number}\n" for number in range(rows)))
    return path


def follow(stack: Stack, csv: Path, **variables: str) -> subprocess.Popen[bytes]:
    """`make trigger WAIT=1` of a run over a CSV of the host, under way."""
    given = {"CSV": str(csv), "API_URL": ECHO, "RATE": "none", "WAIT": "1", **variables}
    return subprocess.Popen(
        ["make", "--no-print-directory", "trigger", *(f"{name}={text}" for name, text in given.items())],
        cwd=PROJECT,
        env={**os.environ, **stack.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_for_calls(stack: Stack, calls: int) -> None:
    """Wait until a run is in the middle of its calls."""
    wait_until(lambda: stack.demo.stats(keys=0)["calls"] >= calls, f"{calls} calls", every=0.1)


def assert_nothing_lost(
    stack: Stack, run_id: str, rows: int, name: str, repeated: int, dag_id="csv_processing"
) -> None:
    """The run succeeded, has every row in its output, and made at most `repeated` calls more than it has rows."""
    assert stack.wait_for_end(dag_id, run_id) == "success", stack.report(dag_id, run_id)
    assert stack.report(dag_id, run_id)["counts"] == {"rows": rows, "ok": rows, "failed": 0, "skipped": 0}
    records = json.loads(stack.read(f"{name}.json"))
    assert [record["id"] for record in records] == [str(number) for number in range(rows)]
    stats = stack.demo.stats()
    assert len(stats["by_key"]) == rows
    assert stats["calls"] - rows <= repeated


def docker(*arguments: str) -> str:
    """The output of a docker command that must succeed."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()
