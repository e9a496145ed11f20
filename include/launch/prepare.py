"""Brings databases and pools to what the code expects; safe to repeat: `python -m include.launch.prepare [--data]`."""

import json
import logging
import sys

from airflow.models.pool import Pool
from airflow.utils.db import upgradedb

from include.common.database import connect, session
from include.common.errors import HeadraceError
from include.common.limits.models import ImportedPool
from include.common.schema import migrate
from include.launch.branches import branches
from include.launch.fab_users import add_where_fab
from include.orchestration import environment
from include.orchestration.pools import pools_file, read_pools, slots


def prepare(data: bool = False) -> None:
    """Migrate Airflow's database and the application's, then import what is new in the pools' file.

    `data` tells the application's revisions to carry data.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    upgradedb()
    migrate(environment.database_url(), branches=branches(), data=data)
    import_pools()


def import_pools() -> None:
    """Make the pools of the file, and change those of which it says something else than at the last import.

    A pool that a person has changed in Airflow stays as it is.
    """
    with session(connect(environment.database_url()), "the pools") as database:
        for name, pool in read_pools(pools_file()).items():
            definition = json.dumps({"slots": slots(name), **pool}, sort_keys=True)
            imported = database.get(ImportedPool, name)
            if imported and imported.definition == definition and Pool.get_pool(name):
                continue
            Pool.create_or_update_pool(
                name=name,
                slots=slots(name),
                description=pool.get("description", ""),
                include_deferred=pool.get("include_deferred", False),
            )
            database.merge(ImportedPool(name=name, definition=definition))


def main() -> int:
    """Prepare an embedded Airflow, its users included; returns the exit status."""
    try:
        prepare(data="--data" in sys.argv[1:])
        add_where_fab()
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
