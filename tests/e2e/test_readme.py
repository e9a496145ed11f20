"""The commands of the README and of docs/usage.md, run as they stand, with files and an API in the reader's places."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from include.launch.embedded.environment import Home
from tests.e2e.test_runs import ended, trigger

PROJECT = Path(__file__).resolve().parents[2]
PAGES = "".join((PROJECT / name).read_text("utf-8") for name in ("README.md", "docs/usage.md"))
COMMANDS = [
    re.sub(r"\s{2,}#.*", "", line)
    for block in re.findall(r"```bash\n(.*?)```", PAGES, re.DOTALL)
    for line in block.replace("\\\n", "").replace(",\n ", ",").splitlines()
    if line.strip()
]


def commands(beginning):
    found = [command for command in COMMANDS if command.startswith(beginning)]
    assert found, f"no page has a command `{beginning}…`"
    return found


@pytest.fixture
def shell(headrace, tmp_path):
    """Runs a command of a page on the tests' Airflow, with a file and an API in the reader's places."""
    headrace.demo.behave()
    (tmp_path / "my.csv").write_text("id,sku\n1,a-1\n2,b-2\n")
    reader = {
        "my.csv": str(tmp_path / "my.csv"),
        "https://api.example.com/items": f"{headrace.demo.url}/echo",
        "https://api.example.com/search?sku={sku}": f"{headrace.demo.url}/echo/{{sku}}",
        "prices.json": str(tmp_path / "prices.json"),
        "localhost:8080": headrace.web.removeprefix("http://"),
    }

    def run(command, **environment):
        for theirs, ours in reader.items():
            command = command.replace(theirs, ours)
        command = re.sub(r"\bmake (\w+)", rf"make --no-print-directory \1 'HEADRACE_HOME={headrace.home}'", command)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=PROJECT,
            env={**os.environ, "OUTPUT": str(tmp_path / "output.json"), "NO_PROXY": "*", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def test_every_target_that_the_readme_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", "\n".join(COMMANDS))) <= targets


def test_runs_on_the_readers_own_csv_and_api(shell, headrace, tmp_path):
    for command in commands("make run CSV="):
        ended = shell(command)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "csv_processing: " in ended.stdout
    assert [record["key"] for record in json.loads((tmp_path / "prices.json").read_text())] == ["a-1", "b-2"]
    assert headrace.demo.stats()["by_key"] == {"a-1": 3, "b-2": 3}  # by both: KEY's column is what is appended


def test_a_run_by_rest(shell, headrace):
    both = " ; ".join([*commands("TOKEN="), *commands("curl ")])
    ended = shell(both, PASSWORD=Home(headrace.home).password())
    run = json.loads(ended.stdout)
    assert run["conf"]["limit"] == 10
    headrace.api.fail_run("csv_processing", run["dag_run_id"])


def test_the_page_s_own_api(shell, headrace):
    define = [*commands("TOKEN="), *commands("csv()")]
    upload, start, look, stop, file = commands("csv ")

    def answer(command, **environment):
        return shell(" ; ".join([*define, command]), PASSWORD=Home(headrace.home).password(), **environment).stdout

    source = json.loads(answer(upload))["source"]
    run = json.loads(answer(start.replace("uploads/my-0123456789ab.csv", source)))["run_id"]
    assert ended(headrace, "csv_processing", run) == "success"
    found = json.loads(answer(look, RUN=run))
    assert (found["state"], found["counts"]["rows"], found["started_by"]) == ("success", 2, "admin")
    assert "has ended already" in json.loads(answer(stop, RUN=run))["detail"]
    output = json.loads(answer(file.replace("errors", "output"), RUN=run))
    assert len(output) == found["counts"]["ok"]


def test_a_run_by_airflows_own_command_line(shell, headrace):
    def runs():
        found = headrace.api.call("GET", "/dags/csv_processing/dagRuns?limit=1000")["dag_runs"]
        return {run["dag_run_id"]: run["triggered_by"] for run in found}

    before = runs()
    ended = shell(commands('make airflow CMD="dags trigger csv_processing"')[0])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    started = {run_id: by for run_id, by in runs().items() if run_id not in before}
    assert list(started.values()) == ["cli"]
    headrace.api.fail_run("csv_processing", *started)


def test_a_redrive_in_three_commands_and_once_more_by_rest(shell, headrace, tmp_path):
    def behave(*keys):
        headrace.demo.behave(faults=[{"fault": "status", "status": 404, "keys": list(keys)}])

    def run_id():
        return headrace.report()["run_id"]

    behave("004", "008", "012")
    first = shell(commands("make run")[0])
    assert first.returncode == 0, first.stdout + first.stderr
    readers = re.search(r"RETRY_FAILED_OF=(\S+)", commands("make run RETRY_FAILED_OF=")[0])[1]
    ours = re.search(r"RETRY_FAILED_OF=(\S+)", first.stdout)[1]
    assert ours == run_id()
    behave("008", "012")
    second = shell(commands("make run RETRY_FAILED_OF=")[0].replace(readers, ours))
    assert second.returncode == 0, second.stdout + second.stderr
    assert headrace.demo.stats()["by_key"] == {"004": 1, "008": 1, "012": 1}
    assert len(json.loads((tmp_path / "output.json").read_text())) == 140
    behave("012")
    third = shell(commands('make airflow CMD="dags trigger csv_processing -c')[0].replace(readers, run_id()))
    assert third.returncode == 0, third.stdout + third.stderr
    while headrace.api.unfinished_runs():
        time.sleep(0.2)
    assert headrace.demo.stats()["by_key"] == {"008": 1, "012": 1}
    behave()
    _, state = trigger(headrace, retry_failed_of=run_id())
    assert state == "success"
    assert headrace.demo.stats()["by_key"] == {"012": 1}
    records = json.loads((tmp_path / "output.json").read_text())
    assert len(records) == 142
    assert [record["id"] for record in records] == sorted(record["id"] for record in records)
