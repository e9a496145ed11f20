"""Brings databases and pools to what the code expects; safe to repeat: `python -m include.orchestration.prepare`."""

import json
import logging

from airflow.models.pool import Pool
from airflow.utils.db import upgradedb

from include.common.database import migrate
from include.orchestration import settings
from include.orchestration.pools import POOLS


def main() -> None:
    """Migrate Airflow's database and the application's, then import `include/pools.json`."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    upgradedb()
    migrate(settings.database_url())
    for name, pool in json.loads(POOLS.read_text("utf-8")).items():
        Pool.create_or_update_pool(
            name=name, slots=pool["slots"], description=pool["description"], include_deferred=pool["include_deferred"]
        )


if __name__ == "__main__":
    main()
