"""The schema of the application database: a branch of revisions for each system, on SQLite and on Postgres."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import ForeignKey, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from include.common.database import NAMING_CONVENTION, new_engine, transaction
from include.common.errors import ConfigError, PermanentError, TransientError
from include.common.schema import COMMON, MIGRATION_LOCK, VERSION_TABLE, Branch, migrate, new_revision, statements
from tests.databases import empty_postgres

TABLES = {"rate_limits", "budgets", "leases", "workers", "imported_pools", VERSION_TABLE}
HEAD = "0004"  # of the branch `common`


@pytest.fixture
def url(new_database):
    return new_database()


@pytest.fixture
def sqlite(tmp_path):
    return f"sqlite:///{tmp_path / 'headrace.db'}"


class Toys(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Box(Toys):
    __tablename__ = "boxes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)


class Toy(Toys):
    __tablename__ = "toys"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("boxes.id", ondelete="CASCADE"))


REVISION = '''"""{text}"""

import sqlalchemy
from alembic import context, op

revision = "{id}"
down_revision = {after!r}
branch_labels = {labels!r}
depends_on = None


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''


class ToyBranch:
    """A second system's branch, with the tables of `Toys`, to which a test adds revisions."""

    def __init__(self, folder: Path) -> None:
        self.branch = Branch("toys", Toys.metadata, folder)
        self.both = (COMMON, self.branch)

    def add(self, up: str, down: str = "pass") -> None:
        """Write the next revision with such bodies."""
        number = len(list(self.branch.revisions.glob("*.py"))) + 1
        text = REVISION.format(
            text=f"Revision {number}",
            id=f"toys_{number:04}",
            after=f"toys_{number - 1:04}" if number > 1 else None,
            labels=("toys",) if number == 1 else None,
            up=up,
            down=down,
        )
        (self.branch.revisions / f"toys_{number:04}_revision.py").write_text(text)


@pytest.fixture
def toys(tmp_path):
    toys = ToyBranch(tmp_path / "toys")
    assert new_revision(toys.branch, "Boxes and toys")
    return toys


def tables(url: str) -> set[str]:
    engine = new_engine(url)
    try:
        return set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in one transaction; the rows of the last one."""
    engine = new_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def differences(url: str, metadata: MetaData) -> list[object]:
    engine = new_engine(url)
    with engine.connect() as connection:
        how = {"version_table": VERSION_TABLE, "compare_server_default": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=how), metadata)
    engine.dispose()
    return found


def test_migrating_a_new_database_makes_its_tables(url):
    assert migrate(url) == (HEAD,)
    assert tables(url) == TABLES


def test_migrating_again_changes_nothing(url):
    migrate(url)
    run(url, "INSERT INTO rate_limits VALUES ('csv_api', 5.5, 7.5)")
    assert migrate(url) == (HEAD,)
    assert run(url, "SELECT * FROM rate_limits") == [("csv_api", 5.5, 7.5)]


def test_a_database_from_before_the_branches_gets_them_and_keeps_its_rows(url, toys):
    run(
        url,
        "CREATE TABLE headrace_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
        "CREATE TABLE rate_limits (key VARCHAR(250) NOT NULL PRIMARY KEY, next_at FLOAT NOT NULL, "
        "paused_until FLOAT DEFAULT '0' NOT NULL)",
        "CREATE TABLE budgets (key VARCHAR(250) NOT NULL PRIMARY KEY, used BIGINT NOT NULL)",
        "INSERT INTO headrace_version VALUES ('0002')",
        "INSERT INTO budgets VALUES ('run', 7)",
    )
    assert set(migrate(url, branches=toys.both)) == {HEAD, "toys_0001"}
    assert run(url, "SELECT * FROM budgets") == [("run", 7)]
    assert tables(url) == {*TABLES, "boxes", "toys"}


def test_down_to_the_base_and_up_again(url, toys):
    first = migrate(url, branches=toys.both)
    assert migrate(url, "base", branches=toys.both) == ()
    assert tables(url) == {VERSION_TABLE}
    assert migrate(url, branches=toys.both) == first
    assert tables(url) == {*TABLES, "boxes", "toys"}


@pytest.mark.parametrize(
    ("revision", "at"),
    [
        ("heads", {HEAD, "toys_0001"}),
        ("head", {HEAD, "toys_0001"}),
        ("base", set()),
        ("0001", {"0001", "toys_0001"}),
        ("common@0001", {"0001", "toys_0001"}),
        ("common@-1", {"0003", "toys_0001"}),
        ("common@base", {"toys_0001"}),
        ("toys@base", {HEAD}),
        ("toys_0001", {HEAD, "toys_0001"}),
        ("toys@0001", {HEAD, "toys_0001"}),
    ],
)
def test_a_revision_leads_down_where_the_database_has_passed_it(sqlite, toys, revision, at):
    migrate(sqlite, branches=toys.both)
    assert set(migrate(sqlite, revision, branches=toys.both)) == at


@pytest.mark.parametrize(
    ("revision", "at"),
    [
        ("common@0001", {"0001"}),
        ("common@head", {HEAD}),
        ("common@+1", {"0001"}),
        ("toys@+1", {"toys_0001"}),
        ("toys_0001", {"toys_0001"}),
        ("toys@0001", {"toys_0001"}),
        ("common@base", set()),
    ],
)
def test_a_revision_leads_up_where_the_database_has_not_passed_it(sqlite, toys, revision, at):
    assert set(migrate(sqlite, revision, branches=toys.both)) == at


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("0099", r"`0099` \(Can't locate revision"),
        ("deals@head", "`deals@head`; allowed are `heads`, `base`, a revision"),
        ("0001:0002", "`0001:0002`; allowed are"),
        ("", "``; allowed are"),
        ("-1", "`-1`; say whose, as in `common@-1`"),
        ("toys@0002", "`toys@0002` .*0002"),
        ("common@-7", "`common@-7` .*didn't produce 7 migrations"),
        ("common@+1", r"`common@\+1` .*didn't produce 1 migrations"),
    ],
)
def test_a_revision_that_there_is_not_is_said_in_a_sentence_and_changes_nothing(sqlite, toys, revision, said):
    migrate(sqlite, branches=toys.both)
    with pytest.raises(ConfigError, match=f"^REVISION is {said}") as caught:
        migrate(sqlite, revision, branches=toys.both)
    assert "\n" not in str(caught.value)
    assert tables(sqlite) == {*TABLES, "boxes", "toys"}


def test_a_database_that_is_ahead_of_this_version_is_said_in_a_sentence(sqlite, toys):
    migrate(sqlite, branches=toys.both)
    with pytest.raises(
        ConfigError, match="is at the revision `toys_0001`, which this version of Headrace does not have"
    ):
        migrate(sqlite)


def test_the_models_and_the_revisions_agree(url, toys):
    migrate(url)
    assert differences(url, COMMON.metadata) == []
    migrate(url, "base")
    migrate(url, "toys@heads", branches=toys.both)
    assert differences(url, Toys.metadata) == []


def test_a_model_that_the_revisions_do_not_know_is_a_difference(url):
    migrate(url)
    other = MetaData()
    for table in COMMON.metadata.sorted_tables:
        table.to_metadata(other)
    other.tables["budgets"].append_column(sqlalchemy.Column("most", sqlalchemy.Integer))
    other.tables["rate_limits"].c.next_at.nullable = True
    assert [found[0] if isinstance(found, tuple) else found[0][0] for found in differences(url, other)] == [
        "add_column",
        "modify_nullable",
    ]


def test_a_revision_that_fails_leaves_the_database_as_it_was(url, toys):
    before = migrate(url, branches=toys.both)
    toys.add(
        "op.create_table('lids', sqlalchemy.Column('id', sqlalchemy.Integer))\n    op.execute('SELECT gone FROM lids')"
    )
    with pytest.raises(ConfigError, match=r"its migration: .*gone"):
        migrate(url, branches=toys.both)
    assert tables(url) == {*TABLES, "boxes", "toys"}
    assert {row[0] for row in run(url, "SELECT version_num FROM headrace_version")} == set(before)


def test_a_table_that_is_altered_keeps_the_rows_that_refer_to_it(url, toys):
    migrate(url, branches=toys.both)
    run(url, "INSERT INTO boxes VALUES (1, 'red')", "INSERT INTO toys VALUES (1, 1)")
    toys.add("with op.batch_alter_table('boxes') as table:\n        table.alter_column('name', nullable=True)")
    migrate(url, branches=toys.both)
    assert run(url, "SELECT * FROM toys") == [(1, 1)]


def test_a_revision_that_leaves_a_reference_to_nothing_is_refused_on_sqlite(sqlite, toys):
    migrate(sqlite, branches=toys.both)
    run(sqlite, "INSERT INTO boxes VALUES (1, 'red')", "INSERT INTO toys VALUES (1, 1)")
    toys.add("op.execute('DELETE FROM boxes')")
    with pytest.raises(PermanentError, match="would leave references to rows that are gone, in `toys`"):
        migrate(sqlite, branches=toys.both)
    assert run(sqlite, "SELECT * FROM boxes") == [(1, "red")]


@pytest.mark.parametrize(("data", "stored"), [(False, []), (True, [(1, "red")])])
def test_a_revision_carries_data_only_where_it_is_asked_to(url, toys, data, stored):
    toys.add(
        "if context.get_x_argument(as_dictionary=True).get('data') == 'true':\n"
        "        op.execute(\"INSERT INTO boxes VALUES (1, 'red')\")"
    )
    assert ("INSERT INTO boxes" in statements(url, branches=toys.both, data=data)) is data
    migrate(url, branches=toys.both, data=data)
    assert run(url, "SELECT * FROM boxes") == stored


def test_the_statements_do_what_migrating_does_and_showing_them_changes_nothing(new_database, toys):
    shown, moved = new_database(), new_database()
    text = statements(shown, branches=toys.both)
    if shown.startswith("sqlite"):
        assert not Path(shown.removeprefix("sqlite:///")).exists()
    else:
        assert tables(shown) == set()
    play(shown, text)
    migrate(moved, branches=toys.both)
    assert tables(shown) == tables(moved)
    assert differences(shown, COMMON.metadata)[0][0] == "remove_table"  # of the other branch alone
    assert migrate(shown, branches=toys.both) == migrate(moved, branches=toys.both)

    down = statements(shown, "base", branches=toys.both)
    assert tables(shown) == tables(moved)
    play(shown, down)
    assert tables(shown) == {VERSION_TABLE}


def play(url: str, text: str) -> None:
    """Run a script as `sqlite3` or `psql` would."""
    engine = new_engine(url)
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        if url.startswith("sqlite"):
            raw.executescript(text)
        else:
            raw.autocommit = True
            raw.cursor().execute(text)
            raw.autocommit = False
    engine.dispose()


def test_the_statements_begin_where_the_database_is(url, toys):
    migrate(url, "common@0001", branches=toys.both)
    text = statements(url, "common@+1", branches=toys.both)
    assert "ADD COLUMN paused_until" in text
    assert "CREATE TABLE rate_limits" not in text
    assert "boxes" not in text


def test_the_statements_for_a_database_that_cannot_be_asked_are_those_for_an_empty_one():
    text = statements("postgresql+psycopg2://me:hunter2@127.0.0.1:1/nothing")
    first, second = text.splitlines()[:2]
    assert first.startswith("-- as for an empty database, for the application database cannot be used")
    assert (second, "CREATE TABLE budgets" in text, "hunter2" in text) == ("BEGIN;", True, False)


def test_a_revision_is_written_with_its_branch_and_its_predecessor(tmp_path):
    branch = Branch("toys", Toys.metadata, tmp_path / "toys")
    first = new_revision(branch, "Boxes and toys")
    assert first == tmp_path / "toys/toys_0001_boxes_and_toys.py"
    assert names(first) == ("toys_0001", None, ("toys",))

    wider = MetaData(naming_convention=NAMING_CONVENTION)
    for table in Toys.metadata.sorted_tables:
        table.to_metadata(wider)
    wider.tables["toys"].append_column(sqlalchemy.Column("colour", String(10)))
    second = new_revision(Branch("toys", wider, branch.revisions), "Colours")
    assert names(second) == ("toys_0002", "toys_0001", None)
    assert "colour" in second.read_text()
    assert "###" not in second.read_text()


def names(path: Path) -> tuple[object, ...]:
    """Revision, predecessor and label of a revision's file."""
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
    }
    return values["revision"], values["down_revision"], values["branch_labels"]


def test_a_revision_of_common_is_numbered_on(tmp_path):
    for path in COMMON.revisions.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    wider = MetaData()
    for table in COMMON.metadata.sorted_tables:
        table.to_metadata(wider)
    wider.tables["budgets"].append_column(sqlalchemy.Column("most", sqlalchemy.Integer))
    written = new_revision(Branch("common", wider, tmp_path), "The most")
    assert names(written) == ("0005", HEAD, None)


def test_no_revision_is_written_where_models_and_revisions_agree(toys):
    before = set(toys.branch.revisions.glob("*.py"))
    assert new_revision(toys.branch, "Nothing") is None
    assert set(toys.branch.revisions.glob("*.py")) == before


@pytest.mark.parametrize("message", ["", "  ", "two\nlines", 'a "quote"', "back\\slash", "—"])
def test_a_message_that_cannot_stand_in_the_file_is_refused(toys, message):
    with pytest.raises(ConfigError, match=r"MESSAGE is .*; allowed is one line"):
        new_revision(toys.branch, message)


MIGRATE = [sys.executable, "-c", "import sys; from include.common.schema import migrate; migrate(sys.argv[1])"]


def test_one_that_migrates_waits_for_another_that_is_at_it(postgres_server):
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with empty_postgres(postgres_server) as url:
        engine = new_engine(url)
        with engine.begin() as other:
            other.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            second = subprocess.Popen([*MIGRATE, url])
            while not other.exec_driver_sql(waiting).scalar():
                assert second.poll() is None, "it did not wait"
                time.sleep(0.01)
            assert tables(url) == set()
        engine.dispose()
        assert second.wait(60) == 0
        assert tables(url) == TABLES


def test_one_that_migrates_a_sqlite_file_waits_for_another_even_to_look(sqlite, monkeypatch):
    monkeypatch.setattr("include.common.database.SQLITE_BUSY_TIMEOUT", 0)  # it would wait so long
    migrate(sqlite)
    engine = new_engine(sqlite)
    with transaction(engine, "a migration"), pytest.raises(TransientError, match="its migration: database is locked"):
        migrate(sqlite)
    engine.dispose()


def test_a_path_with_spaces_and_other_alphabets_works(tmp_path):
    folder = tmp_path / "мои данные 100%"
    folder.mkdir()
    url = f"sqlite:///{folder / 'headrace.db'}"
    migrate(url)
    assert tables(url) == TABLES
