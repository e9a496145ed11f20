"""The connections of the environment (`AIRFLOW_CONN_…`): read as Airflow reads them, and kept in its database."""

import json
from collections.abc import Mapping

from airflow.models.connection import Connection
from airflow.utils.session import create_session

from include.common.errors import ConfigError

PREFIX = "AIRFLOW_CONN_"
FIELDS = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")


def connections(environment: Mapping[str, str]) -> list[Connection]:
    """A connection for each variable `AIRFLOW_CONN_<ID>` that is not empty, a URI or a JSON object as Airflow reads it.

    Raises `ConfigError`, which names the variable and shows nothing of its value.
    """
    return [
        _connection(name, value)
        for name, value in sorted(environment.items())
        if name.startswith(PREFIX) and value.strip()
    ]


def _connection(name: str, value: str) -> Connection:
    conn_id = name.removeprefix(PREFIX).lower()
    try:
        if value.lstrip().startswith("{"):
            found = Connection.from_json(value, conn_id=conn_id)
        else:
            found = Connection(conn_id=conn_id, uri=value)
    except Exception:  # noqa: BLE001 (whatever it is, its text may hold the password)
        found = None
    if found is None or not found.conn_type:
        raise ConfigError(f"{name} is no connection; allowed is a URI such as https://user:password@host, or JSON")
    return found


def store(wanted: list[Connection]) -> list[str]:
    """Write connections to Airflow's database, encrypted with the Fernet key; returns the ids of those that changed."""
    changed = []
    with create_session() as session:
        for connection in wanted:
            stored = session.query(Connection).filter_by(conn_id=connection.conn_id).one_or_none()
            if stored is None:
                session.add(connection)
            elif _content(stored) == _content(connection):
                continue
            else:
                for field in FIELDS:
                    setattr(stored, field, getattr(connection, field))
            changed.append(connection.conn_id)
    return changed


def _content(connection: Connection) -> list[object]:
    plain = {field: getattr(connection, field) for field in FIELDS}
    plain["extra"] = json.loads(connection.extra) if connection.extra else {}
    return [plain[field] or None for field in FIELDS]
