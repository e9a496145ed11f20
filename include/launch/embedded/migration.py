"""What `make migrate` and `make migration` do."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from include.common import schema
from include.common.errors import ConfigError, HeadraceError
from include.common.readers import switch
from include.launch.branches import branches
from include.launch.embedded import processes
from include.launch.embedded.environment import Home, airflow_environment, user_environment
from include.orchestration import environment
from include.orchestration.paths import PROJECT
from include.orchestration.pools import pools_file


@dataclass(frozen=True)
class Migration:
    """What a person asks of `make migrate`; without a revision the newest of all, and Airflow's database as well."""

    revision: str | None = None
    data: bool = False
    sql: bool = False


def read_migration(given: Mapping[str, str]) -> Migration:
    """The variables `REVISION`, `DATA` and `SQL`; raises `ConfigError` for a switch that is neither 0 nor 1."""
    return Migration(
        revision=given.get("REVISION") or None,
        data=switch("DATA", given.get("DATA")),
        sql=switch("SQL", given.get("SQL")),
    )


def migrate(home: Home, wanted: Migration) -> None:
    """Bring the databases of this home to the newest revision and import the pools, whether it is up or not.

    With a revision only the application database is moved; with `sql` its statements are printed, and nothing changes.
    """
    url = environment.database_url({**user_environment(), "AIRFLOW_HOME": str(home.path)})
    if wanted.sql:
        print(schema.statements(url, wanted.revision or "heads", branches=branches(), data=wanted.data), end="")
        return
    home.create()
    with processes.alone(home, "make migrate"):
        if wanted.revision:
            at = schema.migrate(url, wanted.revision, branches=branches(), data=wanted.data)
            processes.prepare_again(home)
            print(f"the application database is at {', '.join(f'`{each}`' for each in at) or '`base`: without tables'}")
            return
        given = airflow_environment(home, 0, {}, schedule=False)
        processes.prepare(home, given, again=True, data=wanted.data)
    print(f"the databases in `{home.path}` are up to date, the pools are those of `{pools_file(given)}`")


def new_revision(system: str, message: str) -> None:
    """Write the revision that brings the tables of `system` to its models, where they differ."""
    known = {branch.name: branch for branch in branches()}
    if system not in known:
        raise ConfigError(f"SYSTEM is `{system}`; allowed is one of {', '.join(known)}")
    written = schema.new_revision(known[system], message)
    if written is None:
        print(f"no revision is needed: the tables of `{system}` are as its models say")
        return
    for rule in (["check", "--select", "F401,I001", "--fix"], ["format"]):
        command = [sys.executable, "-m", "ruff", *rule, "--quiet", str(written)]
        if subprocess.run(command, cwd=PROJECT, check=False).returncode:
            raise HeadraceError(f"`{written}` was written, but ruff could not format it")
    print(f"written: {written}; read it before you `make migrate`")
