"""`make bench CASE=pages`: how long the CSV page takes at the server, beside Airflow's own list of the same runs.

With 1,000 runs kept, and one of a million rows under way. Each address is asked for one after the other, in turns.
"""

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import Running
from include.launch.embedded.service import using
from include.orchestration.rest import AirflowApi

KEPT = 1000
ROWS = 1_000_000
ROUNDS = 50


def measure(url: str) -> None:
    """Print the table; `url` is the demo API's."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder, home = Path(name), Home(Path(name) / "home")
        os.environ |= {"HEADRACE_STORAGE": str(folder / "storage"), "API_URL": f"{url}/echo"}
        home.create()
        with using(home, "csv_processing") as running:
            api = AirflowApi(running.web, USER, home.password())
            _keep_runs(api, home, folder)
            run_id = _start(api, folder, url)
            _show(api, running, run_id)
            api.fail_run("csv_processing", run_id)


def _trigger(api: AirflowApi, folder: Path, name: str, rows: int) -> str:
    (folder / name).write_text("id\n" + "".join(f"{number}\n" for number in range(rows)))
    conf = {"source": str(folder / name), "output": str(folder / "out.json"), "rate_limit": "none"}
    return api.trigger("csv_processing", conf)


def _wait(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(1)


def _keep_runs(api: AirflowApi, home: Home, folder: Path) -> None:
    """One run of 25 rows, and as many copies of what the databases hold of it."""
    run_id = _trigger(api, folder, "few.csv", 25)
    _wait(lambda: api.run_state("csv_processing", run_id) in ("success", "failed"))
    for database, table, dropped in (("airflow.db", "dag_run", ("id",)), ("headrace.db", "csv_runs", ())):
        with sqlite3.connect(home.path / database, timeout=30) as opened:
            columns = [row[1] for row in opened.execute(f"PRAGMA table_info({table})") if row[1] not in dropped]
            taken = ", ".join("run_id || '-' || ?" if column == "run_id" else column for column in columns)
            statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {taken} FROM {table} WHERE run_id = ?"
            opened.executemany(statement, [(str(number), run_id) for number in range(1, KEPT)])


def _start(api: AirflowApi, folder: Path, url: str) -> str:
    httpx.put(f"{url}/_demo", json={"latency": 0.5}, trust_env=False)
    run_id = _trigger(api, folder, "many.csv", ROWS)
    _wait(lambda: httpx.get(f"{url}/_demo?keys=0", trust_env=False).json()["calls"] > 0)
    return run_id


def _show(api: AirflowApi, running: Running, run_id: str) -> None:
    headers = {"Authorization": api.bearer(), "Accept": "text/html"}
    part = {**headers, "HX-Request": "true"}
    run = f"/headrace/csv/runs/csv_processing/{run_id}"
    asked = {
        "floor: Airflow's /api/v2/version": ("/api/v2/version", headers),
        "Airflow's own list of 50 runs": ("/api/v2/dags/csv_processing/dagRuns?limit=50&order_by=-run_after", headers),
        "page of 50 runs": ("/headrace/csv/", headers),
        "its refresh": ("/headrace/csv/", part),
        "last page of runs": (f"/headrace/csv/?page={KEPT // 50}", headers),
        "page of the run under way": (run, headers),
        "its refresh ": (run, part),
    }
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    with httpx.Client(base_url=running.web, trust_env=False, timeout=60) as client:
        for _ in range(ROUNDS):
            for name, (path, sent) in asked.items():
                start = time.perf_counter()
                client.get(path, headers=sent).raise_for_status()
                seconds[name].append(time.perf_counter() - start)
    print(
        f"\n{KEPT:,} runs kept, one of {ROWS:,} rows under way, {ROUNDS} rounds\n{'':36}{'median ms':>10}{'p95 ms':>9}"
    )
    for name, found in seconds.items():
        late = statistics.quantiles(found, n=20)[-1]
        print(f"{name:36}{statistics.median(found) * 1000:10.1f}{late * 1000:9.1f}", flush=True)
