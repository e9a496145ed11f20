"""What is read from the environment and from Airflow's connections, in one place, and handed inwards as values."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yarl import URL

import include
from include.common.errors import BadInputError, ConfigError
from include.common.storage import Place, place, reaching
from include.enrichment.endpoint import Endpoint
from include.enrichment.models import Request

PROJECT = Path(include.__file__).resolve().parent.parent
DEMO_VARIABLE = "HEADRACE_DEMO_API"
DEMO_ORIGIN = "the demo API"
RUN_ORIGIN = "the run's `api_url`"
# What the http provider's hook reads from a connection's extra as options; every other text there is a header.
HTTP_OPTIONS = frozenset(
    {"headers", "query", "timeout", "allow_redirects", "proxies", "proxy", "verify", "trust_env", "cert", "stream"}
    | {"check_response", "max_redirects", "auth_type"}
)


def located(text: str, name: str) -> Place:
    """The place of a file or folder, a relative path below the project; `name` is the setting, for messages."""
    return place(text, PROJECT, name)


def storage(environment: Mapping[str, str] = os.environ) -> Place:
    """The storage root, `HEADRACE_STORAGE` (default `data/`)."""
    return located(environment.get("HEADRACE_STORAGE", "").strip() or "data", "HEADRACE_STORAGE")


def source(text: str) -> Place:
    """The CSV that `text` names: a relative path is looked for in the storage root, then in the bundle.

    Raises `BadInputError` where a relative one is in neither.
    """
    if _is_relative(text):
        looked: list[Place] = [storage() / text, PROJECT / text]
        for where in looked:
            with reaching(where):
                if where.exists():
                    return where
        raise BadInputError(f"source `{text}` does not exist (looked for `{looked[0]}` and `{looked[1]}`)")
    return located(text, "source")


def output(text: str) -> Place:
    """The place of a file to publish: a relative path stands below the storage root, which all machines reach."""
    return storage() / text if _is_relative(text) else located(text, "output")


def _is_relative(text: str) -> bool:
    return "://" not in text and not text.startswith(("/", "~"))


def database_url() -> str:
    """The application database, `HEADRACE_DATABASE_URL` (default: SQLite beside Airflow's own)."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return os.environ.get("HEADRACE_DATABASE_URL", "").strip() or f"sqlite:///{home / 'headrace.db'}"


def endpoint(request: Request, api_url: str | None = None) -> Endpoint:
    """Where `request` goes: the run's own `api_url`, its environment variable, its connection, or the demo API.

    A connection's credentials go to the connection's own host only; one without a host lends them to the
    environment's address. Raises `ConfigError` where no address is found.
    """
    found = connection(request.connection)
    variable = request.address_variable or ""
    from_environment = os.environ.get(variable, "").strip() if variable else ""
    if api_url:
        return _at(api_url, RUN_ORIGIN, found if found and _same_host(found.url, api_url) else None)
    if from_environment:
        lends = found and (not found.url or _same_host(found.url, from_environment))
        return _at(from_environment, variable, found if lends else None)
    if found and found.url:
        return found.endpoint()
    demo = os.environ.get(DEMO_VARIABLE, "").strip()
    if demo and request.demo_path is not None:
        return Endpoint(demo.rstrip("/") + request.demo_path, DEMO_ORIGIN)
    looked = f"the environment variable {variable} and " if variable else ""
    raise ConfigError(
        f"no address of the API: looked at {looked}the connection `{request.connection}` "
        f"(AIRFLOW_CONN_{request.connection.upper()} and the metadata database)"
    )


def is_demo(found: Endpoint) -> bool:
    """Whether calls go to the demo API of this project, which needs no rate limit."""
    return found.origin == DEMO_ORIGIN


class HttpConnection:
    """An Airflow connection of type http as the row engine sees it. `url` is "" where it has no host."""

    def __init__(self, name: str, host: str | None, schema: str | None, port: int | None) -> None:
        self.name = name
        host = (host or "").strip()
        self.url = host if "://" in host or not host else f"{schema or 'http'}://{host}"
        if self.url and port:
            self.url = str(URL(self.url).with_port(port))
        self.login: str | None = None
        self.password: str | None = None
        self.headers: dict[str, str] = {}
        self.query: dict[str, str] = {}

    def read_extra(self, extra: Mapping[str, Any]) -> None:
        """Headers (`{"headers": {…}}` or plain texts, as the http provider has them) and `{"query": {…}}`."""
        self.headers = {
            name: value for name, value in extra.items() if name not in HTTP_OPTIONS and isinstance(value, str)
        }
        for part, values in (("headers", self.headers), ("query", self.query)):
            more = extra.get(part, {})
            if not isinstance(more, Mapping):
                raise ConfigError(f"connection `{self.name}`: `{part}` in its extra must be an object of texts")
            values.update({str(name): str(value) for name, value in more.items()})

    def endpoint(self, url: str | None = None, origin: str | None = None) -> Endpoint:
        """Its credentials at `url`, by default its own."""
        where = origin or f"connection `{self.name}`"
        return Endpoint(url or self.url, where, self.headers, self.query, self.login or None, self.password or None)


def connection(name: str) -> HttpConnection | None:
    """The Airflow connection `name`, None where there is none."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        stored = Connection.get(name)
    except AirflowNotFoundException:
        return None
    found = HttpConnection(name, stored.host, stored.schema, stored.port)
    found.login, found.password = stored.login, stored.password
    try:
        found.read_extra(json.loads(stored.extra or "{}"))
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"connection `{name}`: its extra must be a JSON object") from error
    return found


def _at(address: str, origin: str, lender: HttpConnection | None) -> Endpoint:
    """An address with the credentials written in it (`https://user:password@host`), else the lender's."""
    try:
        url = URL(address)
    except ValueError:
        return Endpoint(address, origin)  # which says what is wrong with it
    if url.user is not None:
        bare = re.sub(r"(?<=://)[^/?#]*@", "", address)
        return Endpoint(bare, origin, login=url.user, password=url.password)
    return lender.endpoint(address, origin) if lender else Endpoint(address, origin)


def _same_host(one: str, other: str) -> bool:
    try:
        return URL(one).origin() == URL(other).origin()
    except ValueError:
        return False
