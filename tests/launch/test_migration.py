"""`make migrate` and `make migration`, and the schema that all systems together have."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData

from include.common.database import new_engine
from include.common.errors import ConfigError, HeadraceError
from include.common.schema import VERSION_TABLE, Branch, migrate
from include.launch.branches import branches
from include.launch.embedded import migration, processes
from include.launch.embedded.environment import Home
from include.launch.embedded.migration import Migration, new_revision, read_migration
from include.orchestration import systems
from include.orchestration.systems import System


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def prepared(monkeypatch):
    """Stands in for the process that prepares the databases; how often, and whether with data."""
    asked: list[bool] = []
    monkeypatch.setattr(processes, "prepare", lambda home, environment, again, data: asked.append(data))
    return asked


def tables(url: str) -> set[str]:
    engine = new_engine(url)
    try:
        return set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_the_models_of_all_systems_and_their_revisions_agree(new_database):
    url = new_database()
    migrate(url, branches=branches())
    engine = new_engine(url)
    with engine.connect() as connection:
        how = {"version_table": VERSION_TABLE, "compare_server_default": True}
        all_of_them = [branch.metadata for branch in branches()]
        assert compare_metadata(MigrationContext.configure(connection, opts=how), all_of_them) == []
    engine.dispose()


def test_every_revision_of_every_system_leads_down_and_up_again(new_database):
    url = new_database()
    at = migrate(url, branches=branches())
    made = tables(url)
    assert migrate(url, "base", branches=branches()) == ()
    assert tables(url) == {VERSION_TABLE}
    assert migrate(url, branches=branches()) == at
    assert tables(url) == made


def test_every_branch_has_a_base_and_a_label_of_its_own(tmp_path):
    for branch in branches():
        url = f"sqlite:///{tmp_path / branch.name}.db"
        assert len(migrate(url, f"{branch.name}@head", branches=branches())) == 1
        assert tables(url) == {*branch.metadata.tables, VERSION_TABLE}


MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Box(Base):
    __tablename__ = "boxes"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


def test_a_system_with_models_has_a_branch_beside_them(home, tmp_path, monkeypatch, capsys):
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys/models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    toys = System("toys", "Toys", dags={}, models="toys.models")
    monkeypatch.setattr(systems, "SYSTEMS", (*systems.SYSTEMS, toys))
    new_revision("toys", "First tables")
    assert [path.name for path in (tmp_path / "toys/migrations").glob("*.py")] == ["toys_0001_first_tables.py"]
    migration.migrate(home, Migration(revision="heads"))
    assert {"boxes", "rate_limits"} <= tables(f"sqlite:///{home.path / 'headrace.db'}")
    migration.migrate(home, Migration(revision="toys@base"))
    assert "boxes" not in tables(f"sqlite:///{home.path / 'headrace.db'}")
    ours = "the application database is at `0004`, `enrichment_0001`, `parser_tasks_0002`"
    assert capsys.readouterr().out.splitlines()[1:] == [f"{ours}, `toys_0001`", ours]


def test_migrating_without_a_revision_prepares_all_and_with_data_says_so(home, prepared, capsys):
    migration.migrate(home, Migration())
    migration.migrate(home, Migration(data=True))
    assert prepared == [False, True]
    assert capsys.readouterr().out.count(f"the databases in `{home.path}` are up to date") == 2


class Ended:
    """Stands in for `subprocess.run`: notes the command and ends well."""

    returncode = 0

    def __init__(self):
        self.commands = []

    def __call__(self, command, **_):
        self.commands.append(command[1:])
        return self


def test_the_process_that_prepares_is_told_of_data(home, monkeypatch):
    ended = Ended()
    monkeypatch.setattr(processes.subprocess, "run", ended)
    migration.migrate(home, Migration())
    migration.migrate(home, Migration(data=True))
    assert ended.commands == [["-m", "include.launch.prepare"], ["-m", "include.launch.prepare", "--data"]]


@pytest.mark.parametrize("line", [[], ["--data"]])
def test_preparing_migrates_both_databases_and_imports_the_pools(line, monkeypatch):
    from include.launch import prepare

    done = []
    monkeypatch.setattr(prepare, "upgradedb", lambda: done.append("Airflow's"))
    monkeypatch.setattr(prepare, "migrate", lambda url, branches, data: done.append(data))
    monkeypatch.setattr(prepare, "import_pools", lambda: done.append("pools"))
    monkeypatch.setattr(sys, "argv", ["prepare", *line])
    assert prepare.main() == 0
    assert done == ["Airflow's", bool(line), "pools"]


class Pools:
    """Stands in for Airflow's pools: their slots by name."""

    def __init__(self):
        self.slots = {}

    def get_pool(self, name):
        return self.slots.get(name)

    def create_or_update_pool(self, name, slots, description, include_deferred):
        self.slots[name] = slots


@pytest.fixture
def importing(tmp_path, monkeypatch):
    """Imports what is given as the pools' file; returns Airflow's pools."""
    from include.launch import prepare
    from include.orchestration.pools import slots

    pools = Pools()
    url = f"sqlite:///{tmp_path}/headrace.db"
    migrate(url)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    monkeypatch.setenv("HEADRACE_POOLS", str(tmp_path / "pools.json"))
    monkeypatch.setattr(prepare, "Pool", pools)

    def importing(**file):
        (tmp_path / "pools.json").write_text(json.dumps({name: {"slots": slots} for name, slots in file.items()}))
        slots.cache_clear()
        prepare.import_pools()
        return pools.slots

    yield importing
    slots.cache_clear()


def test_a_pool_that_is_raised_in_airflow_stays_raised(importing):
    pools = importing(csv_api=5, symbol_api=1)
    pools["csv_api"] = 20
    assert importing(csv_api=5, symbol_api=1) == {"csv_api": 20, "symbol_api": 1}
    assert importing(csv_api=5, symbol_api=2) == {"csv_api": 20, "symbol_api": 2}


def test_a_pool_of_which_the_file_says_something_new_is_set_to_it(importing):
    importing(csv_api=5)["csv_api"] = 20
    assert importing(csv_api=50) == {"csv_api": 50}


def test_a_pool_that_is_gone_is_made_again(importing):
    importing(csv_api=5).clear()
    assert importing(csv_api=5) == {"csv_api": 5}


def test_preparing_that_fails_ends_with_a_sentence(monkeypatch, capsys):
    from include.launch import prepare

    monkeypatch.setattr(prepare, "upgradedb", lambda: None)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "mysql://me:hunter2@host/name")
    monkeypatch.setattr(sys, "argv", ["prepare"])
    assert prepare.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the application database's address names `mysql`; allowed are")
    assert (said.count("\n"), "hunter2" in said) == (1, False)


def test_a_revision_moves_the_application_database_alone_and_the_next_start_prepares_again(home, prepared, capsys):
    home.create()
    (home.path / "prepared").write_text("as the code was")
    migration.migrate(home, Migration(revision="common@0001"))
    migration.migrate(home, Migration(revision="base"))
    assert prepared == []
    assert capsys.readouterr().out.splitlines() == [
        "the application database is at `0001`",
        "the application database is at `base`: without tables",
    ]
    assert tables(f"sqlite:///{home.path / 'headrace.db'}") == {VERSION_TABLE}
    assert not (home.path / "airflow.db").exists()
    assert not (home.path / "prepared").exists()


def test_the_database_of_the_environment_is_the_one_that_is_moved(home, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'another.db'}"
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    migration.migrate(home, Migration(revision="heads"))
    assert "rate_limits" in tables(url)
    assert not (home.path / "headrace.db").exists()


def test_statements_are_printed_and_not_even_the_home_is_made(home, prepared, capsys):
    migration.migrate(home, Migration(sql=True))
    assert "CREATE TABLE budgets" in capsys.readouterr().out
    assert prepared == []
    assert not home.path.exists()


def test_migrating_while_airflow_starts_or_stops_says_who_is_at_work(home, prepared):
    home.create()
    with processes.alone(home, "make up"), pytest.raises(HeadraceError, match=r"`make up` \(process \d+\) is at work"):
        migration.migrate(home, Migration())
    with processes.alone(home, "make migrate"), pytest.raises(HeadraceError, match=r"`make migrate` .* is at work"):
        migration.migrate(home, Migration(revision="base"))
    assert prepared == []
    migration.migrate(home, Migration())
    assert prepared == [False]


def test_the_variables_of_make_migrate(home):
    assert read_migration({"REVISION": "", "DATA": "", "SQL": "0"}) == Migration()
    assert read_migration({"REVISION": "-1", "DATA": "1", "SQL": "1"}) == Migration("-1", data=True, sql=True)


@pytest.mark.parametrize("name", ["DATA", "SQL"])
def test_a_switch_that_is_neither_0_nor_1_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} is `yes`; allowed is 0 or 1"):
        read_migration({name: "yes"})


def test_a_written_revision_is_as_the_checks_want_it(tmp_path, monkeypatch, capsys):
    metadata = MetaData()
    box = sqlalchemy.Table("boxes", metadata, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))
    branch = Branch("toys", metadata, tmp_path / "toys")
    monkeypatch.setattr(migration, "branches", lambda: (branch,))
    new_revision("toys", "Boxes")
    metadata.remove(box)
    new_revision("toys", "No boxes")  # needs no import of sqlalchemy upwards
    written = [Path(line.split(";")[0].removeprefix("written: ")) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == ["toys_0001_boxes.py", "toys_0002_no_boxes.py"]
    for rule in (["check"], ["format", "--check"]):
        ended = subprocess.run([sys.executable, "-m", "ruff", *rule, *written], capture_output=True, check=False)
        assert ended.returncode == 0, ended.stdout
    new_revision("toys", "Nothing")
    assert capsys.readouterr().out == "no revision is needed: the tables of `toys` are as its models say\n"


def test_a_system_that_has_no_tables_is_refused():
    with pytest.raises(ConfigError, match="SYSTEM is `nobody`; allowed is one of common"):
        new_revision("nobody", "Words")
