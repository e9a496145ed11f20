"""The bundle as Airflow's DAG processor sees it, and guards that are each seen to fail here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Asset

PROJECT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted(path for path in (PROJECT / "dags").glob("*.py"))


@pytest.fixture(scope="module")
def bag():
    # The bundle's root, as in production: what .airflowignore leaves is what Airflow reads.
    return DagBag(PROJECT, bundle_path=PROJECT, bundle_name="headrace")


def parse(path):
    return subprocess.run(
        [sys.executable, str(PROJECT / "tests/integrity/parse_purely.py"), str(path)],
        env={"PYTHONPATH": str(PROJECT), "PATH": "", "HOME": str(PROJECT), "AIRFLOW_HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_dag_file_imports(bag):
    assert bag.import_errors == {}


def test_the_dags_are_exactly_these(bag):
    assert sorted(bag.dag_ids) == ["csv_processing", "symbol_processing"]


def test_a_dag_file_is_named_as_its_dag(bag):
    assert sorted(bag.dag_ids) == [path.stem for path in DAG_FILES]


def test_a_dags_asset_stays_the_same_where_the_storage_root_moves(monkeypatch, tmp_path):
    """An asset of the same name at another place would fail its task until the old one is an orphan."""
    for storage in ("first", "second"):
        monkeypatch.setenv("HEADRACE_STORAGE", str(tmp_path / storage))
        dags = DagBag(PROJECT, bundle_path=PROJECT, bundle_name="headrace").dags
        for dag_id in ("csv_processing", "symbol_processing"):
            assert dags[dag_id].task_dict["write_json"].outlets == [Asset(dag_id)]


@pytest.mark.parametrize("dag_id", ["csv_processing", "symbol_processing"])
def test_the_steps_and_the_schedule(bag, dag_id):
    dag = bag.dags[dag_id]
    assert [task.task_id for task in dag.topological_sort()] == [
        "plan",
        "call_api",
        "transform",
        "write_json",
        "notify",
    ]
    assert dag.schedule == "@hourly"
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.task_dict["call_api"].partial_kwargs["pool"] == dag_id.replace("_processing", "_api")
    assert {task.task_id: task.retries for task in dag.tasks}["write_json"] == 3
    assert dag.task_dict["notify"].is_teardown
    assert dag.doc_md
    asked = {"source", "output", "limit", "rate_limit", "dry_run", "key", "api_url"}
    assert set(dag.params) == asked | {"retry_failed_of", "max_calls", "deadline"}


def test_the_default_limits_are_those_of_the_documents():
    from dags.csv_processing import PIPELINE as csv
    from dags.symbol_processing import PIPELINE as symbol

    assert (csv.rate_limit, symbol.rate_limit) == ("2/minute", "1/30 seconds")


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_parsing_reaches_nothing_outside(path):
    ended = parse(path)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("import pandas", "import pandas"),
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
        ("import socket; socket.getaddrinfo('localhost', 80)", "socket.getaddrinfo"),
        ("import subprocess; subprocess.run(['/bin/true'])", "subprocess.Popen"),
    ],
)
def test_the_guard_against_impure_parsing_sees(tmp_path, line, seen):
    path = tmp_path / "impure.py"
    path.write_text(line)
    ended = parse(path)
    assert ended.returncode == 1
    assert seen in ended.stderr


def test_a_dag_file_with_nonsense_in_its_configuration_says_which_field(tmp_path):
    path = tmp_path / "csv_processing.py"
    text = (PROJECT / "dags/csv_processing.py").read_text()
    path.write_text(text.replace('rate_limit="2/minute"', 'rate_limit="fast"'))
    ended = parse(path)
    assert "ConfigError: rate_limit is `fast`; allowed is" in ended.stderr


def layers_of(tree):
    script = Path(sys.executable).with_name("lint-imports")
    command = [script, "--no-cache", "--config", "pyproject.toml"]
    # Without PYTHONPATH: `dags` is a namespace package, and the project's own one must not join the copy.
    return subprocess.run(command, cwd=tree, env={"PATH": ""}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("include/common/files.py", "import airflow"),
        ("include/common/files.py", "import include.enrichment.models"),
        ("include/enrichment/models.py", "import airflow.sdk"),
        ("include/enrichment/models.py", "import include.orchestration.pools"),
        ("include/demo_api/faults.py", "import include.enrichment.models"),
        ("dags/csv_processing.py", "import dags.symbol_processing"),
        ("dags/csv_processing.py", "import plugins.headrace_plugin"),
        ("dags/csv_processing.py", "import include.launch.prepare"),
        ("include/orchestration/pools.py", "import include.launch.prepare"),
        ("include/orchestration/pools.py", "import include.orchestration.enrichment.form"),
        ("include/enrichment/models.py", "import include.launch.prepare"),
    ],
)
def test_the_guard_of_the_layers_sees_a_wrong_import(tmp_path, module, line):
    for name in ("include", "dags", "plugins", "pyproject.toml"):
        source = PROJECT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    broken = tmp_path / module
    broken.write_text(broken.read_text() + f"\n{line}\n")
    ended = layers_of(tmp_path)
    assert ended.returncode == 1, ended.stdout
    assert "BROKEN" in ended.stdout
