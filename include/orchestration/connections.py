"""Airflow's connections of type http as addresses with credentials."""

import json
import re
from collections.abc import Mapping
from typing import Any

from yarl import URL

from include.common.errors import ConfigError
from include.common.http.endpoint import Endpoint

# What the http provider's hook reads from a connection's extra as options; every other text there is a header.
HTTP_OPTIONS = frozenset(
    {"headers", "query", "timeout", "allow_redirects", "proxies", "proxy", "verify", "trust_env", "cert", "stream"}
    | {"check_response", "max_redirects", "auth_type"}
)


class HttpConnection:
    """An Airflow connection of type http as an address with credentials. `url` is "" where it has no host."""

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


def find_connection(name: str) -> HttpConnection | None:
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


def with_credentials(address: str, origin: str, lender: HttpConnection | None) -> Endpoint:
    """An address with the credentials written in it (`https://user:password@host`), else the lender's."""
    try:
        url = URL(address)
    except ValueError:
        return Endpoint(address, origin)  # which says what is wrong with it
    if url.user is not None:
        bare = re.sub(r"(?<=://)[^/?#]*@", "", address)
        return Endpoint(bare, origin, login=url.user, password=url.password)
    return lender.endpoint(address, origin) if lender else Endpoint(address, origin)


def same_host(one: str, other: str) -> bool:
    try:
        return URL(one).origin() == URL(other).origin()
    except ValueError:
        return False
