"""The launcher knows systems by their list only: none is named where Airflow is started and a run followed."""

import re
from pathlib import Path

import pytest

from include.orchestration.systems import SYSTEMS

PROJECT = Path(__file__).resolve().parents[2]
FILES = [PROJECT / "Makefile", PROJECT / "deploy/stack.sh", *sorted((PROJECT / "include/launch").rglob("*.py"))]
NAMES = [name for system in SYSTEMS for name in (system.name, *system.dags, *system.dag_ids())]


def named(text):
    """The systems, their DAG files and their DAGs that a text names."""
    return [name for name in NAMES if re.search(rf"\b{re.escape(name)}\b", text)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_file_of_the_launcher_names_a_system(path):
    assert named(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "from include.enrichment.run import RunFolder",
        "import include.orchestration.enrichment.runner",
        "sed -n 's/x/y/p' include/enrichment/parameters.py",
        'if dag_id == "symbol_processing":',
    ],
)
def test_the_guard_sees_a_system_that_is_named(line):
    assert named(line)


def test_the_guard_looks_at_the_launcher():
    looked = {path.name for path in FILES}
    assert {"Makefile", "stack.sh", "follow.py", "run.py", "stopping.py", "late_report.py", "trigger.py"} <= looked
