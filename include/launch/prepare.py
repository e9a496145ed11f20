"""Brings databases and pools to what the code expects; safe to repeat: `python -m include.launch.prepare`."""

import logging

from airflow.models.pool import Pool
from airflow.utils.db import upgradedb

from include.common.database import migrate
from include.orchestration import environment
from include.orchestration.pools import pools_file, read_pools, slots


def main() -> None:
    """Migrate Airflow's database and the application's, then import the pools."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    upgradedb()
    migrate(environment.database_url())
    for name, pool in read_pools(pools_file()).items():
        Pool.create_or_update_pool(
            name=name,
            slots=slots(name),
            description=pool.get("description", ""),
            include_deferred=pool.get("include_deferred", False),
        )


if __name__ == "__main__":
    main()
