"""The bundle as Airflow's DAG processor sees it, and guards that are each seen to fail here."""

import shutil
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import AssetAlias

from include.enrichment.parameters import NAMES
from include.orchestration.systems import SYSTEMS

PROJECT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted(path for path in (PROJECT / "dags").glob("*.py"))
CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


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


def test_a_slow_telegram_keeps_no_parser_task_from_being_cancelled(bag):
    tell = bag.dags["parser_tasks_cancel_expired"].get_task("tell")
    assert (tell.retries, tell.execution_timeout.total_seconds()) == (0, 45)


def test_the_dags_are_exactly_those_that_the_systems_say_each_file_makes(bag):
    made: dict[str, list[str]] = {}
    for dag_id, dag in sorted(bag.dags.items()):
        made.setdefault(Path(dag.fileloc).name, []).append(dag_id)
    assert made == {file: system.dags_of(file) for system in SYSTEMS for file in system.dags}
    assert sorted(made) == [path.name for path in DAG_FILES]
    assert made["csv_processing.py"] == ["csv_processing"]


def test_a_dags_asset_stays_the_same_where_the_storage_root_moves(monkeypatch, tmp_path):
    """An asset of the same name at another place would fail its task until the old one is an orphan."""
    for storage in ("first", "second"):
        monkeypatch.setenv("HEADRACE_STORAGE", str(tmp_path / storage))
        dags = DagBag(PROJECT, bundle_path=PROJECT, bundle_name="headrace").dags
        for dag_id in ("csv_processing", "symbol_processing"):
            assert dags[dag_id].task_dict["write_json"].outlets == [AssetAlias(dag_id)]


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
    assert {(task.retries, task.retry_delay) for task in dag.tasks} == {(3, timedelta(seconds=10))}
    assert dag.task_dict["notify"].is_teardown
    assert dag.doc_md
    assert tuple(dag.params) == NAMES


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
    environment = {"PATH": "", "COLUMNS": "200"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path):
    """A copy of the code that may be broken, with a second system that only the contracts know of: `deals`."""
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    for name in ("include", "dags", "plugins"):
        # Compiled files come and go while other tests run.
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("include/deals", "include/orchestration/deals"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "include/deals/models.py").write_text("import include.common.errors\n")
    (tmp_path / "include/orchestration/deals/tasks.py").write_text("import include.deals.models\n")
    settings = (PROJECT / "pyproject.toml").read_text()
    both = '"include.enrichment", "include.orchestration.enrichment"'
    own = '"include.orchestration.enrichment.** -> include.enrichment.**"'
    assert settings.count(both) == settings.count(own) == 1
    for names in (both, own):
        settings = settings.replace(names, f"{names}, {names.replace('enrichment', 'deals')}")
    (tmp_path / "pyproject.toml").write_text(settings)
    return tmp_path


LAYERS, AIRFLOW, SHARED, ALONE, DEMO, DAGS = (contract["name"] for contract in CONTRACTS)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("include/common/files.py", "import airflow", AIRFLOW),
        ("include/common/files.py", "import include.enrichment.models", LAYERS),
        ("include/common/files.py", "import include.web.pages", LAYERS),
        ("include/web/pages.py", "import airflow", AIRFLOW),
        ("include/web/pages.py", "import include.enrichment.models", LAYERS),
        ("include/web/pages.py", "import include.orchestration.access", LAYERS),
        ("include/enrichment/models.py", "import airflow.sdk", AIRFLOW),
        ("include/enrichment/models.py", "import include.orchestration.pools", LAYERS),
        ("include/enrichment/models.py", "import include.deals.models", LAYERS),
        ("include/enrichment/models.py", "import include.launch.prepare", LAYERS),
        ("include/demo_api/faults.py", "import include.enrichment.models", DEMO),
        ("include/demo_sources/content.py", "import include.parser_tasks.models", DEMO),
        ("include/demo_broker/__main__.py", "import include.common.errors", DEMO),
        ("dags/csv_processing.py", "import dags.symbol_processing", DAGS),
        ("dags/csv_processing.py", "import plugins.headrace_plugin", LAYERS),
        ("dags/csv_processing.py", "import include.launch.prepare", LAYERS),
        ("include/orchestration/pools.py", "import include.launch.prepare", LAYERS),
        ("include/orchestration/pools.py", "import include.orchestration.enrichment.form", SHARED),
        ("include/orchestration/access.py", "import include.orchestration.systems", SHARED),
        ("include/orchestration/systems.py", "import include.orchestration.pages", SHARED),
        ("include/orchestration/pools.py", "import include.deals.models", ALONE),
        ("include/orchestration/enrichment/form.py", "import include.orchestration.deals.tasks", SHARED),
        ("include/orchestration/deals/tasks.py", "import include.orchestration.enrichment.form", SHARED),
        ("include/orchestration/deals/tasks.py", "import include.enrichment.models", ALONE),
    ],
)
def test_the_guard_of_the_layers_sees_a_wrong_import(tree, module, line, contract):
    broken = tree / module
    broken.write_text(broken.read_text() + f"\n{line}\n")
    ended = layers_of(tree)
    assert ended.returncode == 1, ended.stdout
    assert f"{contract} BROKEN" in ended.stdout


def test_a_module_of_orchestration_that_no_contract_places_is_seen(tree):
    (tree / "include/orchestration/unplaced.py").touch()
    ended = layers_of(tree)
    assert ended.returncode == 1
    assert f"{SHARED} BROKEN" in ended.stdout


def test_a_second_system_that_keeps_to_itself_breaks_no_contract(tree):
    ended = layers_of(tree)
    assert ended.returncode == 0, ended.stdout
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in ended.stdout


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_system_is_in_the_contracts(system):
    rules, tasks = f"include.{system.name}", f"include.orchestration.{system.name}"
    named = {contract["name"]: str(contract) for contract in CONTRACTS}
    assert all(rules in named[contract] for contract in (LAYERS, AIRFLOW, ALONE))
    assert f"{tasks}.** -> {rules}.**" in named[ALONE]
    assert system.name in named[SHARED]
