"""The schema of the application database: one Alembic environment, a branch of revisions for each system.

A branch begins with a revision of its own that carries the system's name as label; all share one version table.
"""

import io
import re
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from include.common.database import answering, new_engine
from include.common.errors import ConfigError, HeadraceError, PermanentError
from include.common.limits.models import Base

ENVIRONMENT = Path(__file__).with_name("migrations")
VERSION_TABLE = "headrace_version"
MIGRATION_LOCK = int.from_bytes(b"headrace")  # any number that nobody else takes
PURPOSE = "its migration"
_REVISION = re.compile(r"(?:(?P<branch>\w+)@)?(?P<target>heads?|base|[+-][1-9][0-9]{0,3}|\w+)", re.ASCII)
_MESSAGE = re.compile(r'[^"\\\n]*\w[^"\\\n]*')


@dataclass(frozen=True)
class Branch:
    """A system's part of the schema: its name, the metadata of its models, the folder of its revisions."""

    name: str
    metadata: sqlalchemy.MetaData
    revisions: Path


COMMON = Branch("common", Base.metadata, ENVIRONMENT / "versions")


def migrate(
    url: str, revision: str = "heads", *, branches: Sequence[Branch] = (COMMON,), data: bool = False
) -> tuple[str, ...]:
    """Bring the database to `revision`, in one transaction; returns the revisions that it is at, none at `base`.

    `heads`, `base`, a revision, `+1`, `-1`, each for one branch as in `common@0001`. `base`, `-1` and a revision that
    the database has passed lead down, the others up. `data` tells the revisions to carry data (Alembic's
    `-x data=true`). Whoever comes second waits and finds the work done. Raises `ConfigError` for a revision that there
    is not, and errors of the database by kind.
    """
    engine = new_engine(url)
    try:
        with answering(PURPOSE), engine.connect() as connection, _alone(connection):
            config = _configured(branches, data, connection=connection)
            at = _heads(connection)
            step, target = _step(config, branches, revision, at)
            step(config, target)
            return _heads(connection)
    except CommandError as error:
        raise _unusable(revision, branches, error) from error
    finally:
        engine.dispose()


def statements(url: str, revision: str = "heads", *, branches: Sequence[Branch] = (COMMON,), data: bool = False) -> str:
    """The SQL of `migrate`, from what the database is at; from `base` where it cannot be asked. Changes nothing."""
    engine = new_engine(url)
    said = ""
    try:
        at = _heads_of(engine)
    except HeadraceError as error:
        at, said = (), f"-- as for an empty database, for {error}\n"
    finally:
        engine.dispose()
    text = io.StringIO()
    config = _configured(branches, data, text, dialect=engine.dialect.name, at=at)
    try:
        step, target = _step(config, branches, revision, at)
        # Alembic wants a start in the text; where several branches have one each, only env.py can say them.
        step(config, f"base:{target}", sql=True)
    except CommandError as error:
        raise _unusable(revision, branches, error) from error
    return said + text.getvalue()


def new_revision(branch: Branch, message: str) -> Path | None:
    """Write the revision that leads from the branch's revisions to its models; None where they agree.

    They are compared in an empty database of their own. Raises `ConfigError` for a `message` that cannot stand in a
    docstring.
    """
    if not _MESSAGE.fullmatch(message):
        raise ConfigError(f'MESSAGE is {message!r}; allowed is one line of words without `"` and `\\`')
    branch.revisions.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/headrace.db"
        migrate(url, branches=[branch])
        engine = new_engine(url)
        with engine.connect() as connection:
            config = _configured([branch], connection=connection)
            number, head = _next(ScriptDirectory.from_config(config), branch)
            written = command.revision(
                config,
                message,
                autogenerate=True,
                head=head,
                branch_label=branch.name if head == "base" else None,
                version_path=str(branch.revisions),
                rev_id=number,
                process_revision_directives=_drop_empty,
            )
        engine.dispose()
    return Path(written.path) if written and not isinstance(written, list) else None


def _next(scripts: ScriptDirectory, branch: Branch) -> tuple[str, str]:
    """The id of a new revision, and what it follows: `0003` after `0002`, `deals_0001` in a branch without any."""
    head = scripts.get_current_head()
    if head is None:
        return f"{branch.name}_0001", "base"
    prefix = head.rstrip("0123456789")
    return f"{prefix}{int(head[len(prefix) :] or 0) + 1:04}", head


def _drop_empty(_context: object, _revision: object, directives: list[Any]) -> None:
    if directives[0].upgrade_ops.is_empty():
        directives.clear()


def _configured(
    branches: Sequence[Branch], data: bool = False, text: io.StringIO | None = None, **attributes: Any
) -> Config:
    line = Namespace(x=["data=true"] if data else [], quiet=True)
    config = Config(stdout=io.StringIO(), output_buffer=text, cmd_opts=line)
    options = {
        "script_location": str(ENVIRONMENT),
        "version_locations": "\n".join(str(branch.revisions) for branch in branches),
        "path_separator": "newline",
        "file_template": "%(rev)s_%(slug)s",
    }
    for name, value in options.items():
        config.set_main_option(name, value.replace("%", "%%"))
    metadata = [branch.metadata for branch in branches]
    config.attributes.update(metadata=metadata, version_table=VERSION_TABLE, **attributes)
    return config


def _step(
    config: Config, branches: Sequence[Branch], revision: str, at: tuple[str, ...]
) -> tuple[Callable[..., None], str]:
    """Alembic's command that leads from `at` to `revision`, and the latter as Alembic knows it.

    Raises `ConfigError` where nobody has one of them.
    """
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    if unknown := set(at) - known:
        raise ConfigError(
            f"the application database is at the revision {_quoted(unknown)}, which this version of Headrace does not "
            f"have (looked in {_quoted(branch.revisions for branch in branches)})"
        )
    asked = _REVISION.fullmatch(revision)
    names = [branch.name for branch in branches]
    if asked is None or (asked["branch"] or names[0]) not in names:
        raise _unusable(revision, branches)
    target = asked["target"]
    if target[0] in "+-" and not asked["branch"] and len(names) > 1:
        raise ConfigError(f"REVISION is `{revision}`; say whose, as in `common@{revision}` ({_quoted(names)})")
    if target[0] == "-" or target == "base":
        return command.downgrade, revision
    if target[0] == "+" or target in ("head", "heads"):
        return command.upgrade, "heads" if revision == "head" else revision
    if (name := f"{asked['branch']}_{target}") in known:  # `deals@0001`: ids are unique over all branches
        revision = name
    found = scripts.get_revision(revision)
    passed = {script.revision for script in scripts.iterate_revisions(at, "base")}
    return command.downgrade if found and found.revision in passed else command.upgrade, revision


def _unusable(revision: str, branches: Sequence[Branch], error: Exception | None = None) -> ConfigError:
    why = f" ({str(error).strip().rstrip('.')})" if error else ""
    return ConfigError(
        f"REVISION is `{revision}`{why}; allowed are `heads`, `base`, a revision, `+1` and `-1`, or these for one "
        f"system as in `common@0001`, of {_quoted(branch.name for branch in branches)}"
    )


def _quoted(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in sorted(map(str, names)))


def _heads(connection: sqlalchemy.Connection) -> tuple[str, ...]:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return tuple(sorted(context.get_current_heads()))


def _heads_of(engine: sqlalchemy.Engine) -> tuple[str, ...]:
    """What the database is at, none where it is a file that is not there: looking would make it."""
    file = engine.url.database
    if engine.dialect.name == "sqlite" and not (file and Path(file).exists()):
        return ()
    with answering("its migration"), engine.connect() as connection:
        return _heads(connection)


@contextmanager
def _alone(connection: sqlalchemy.Connection) -> Iterator[None]:
    """A transaction that changes the schema alone: who comes second waits for its end."""
    if connection.dialect.name == "postgresql":
        with connection.begin():
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            yield
        return
    # SQLite alters a table by making it anew: the references to the old one must not hold meanwhile, nor cascade.
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # has no effect within a transaction
    connection.rollback()
    with connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        broken = {row[0] for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}
        if broken:
            raise PermanentError(f"the migration would leave references to rows that are gone, in {_quoted(broken)}")
