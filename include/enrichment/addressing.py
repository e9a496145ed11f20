"""How a row's call is addressed: its URL, headers and body, made of the request's templates and the row's values.

Everything that no row changes is prepared once, for the rest is done for every row.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

from yarl import URL

from include.common.errors import ConfigError, PermanentError
from include.common.http.endpoint import Endpoint
from include.common.http.redaction import literals
from include.enrichment.models import Request
from include.enrichment.templates import JsonTemplate, Template

# A path of which every character stands for itself (RFC 3986 3.3), so that it needs no taking apart.
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*", re.ASCII)


class Addressing:
    """Addresses the calls of `request` at `endpoint`, row by row (column -> value).

    `key` is the column whose value is appended where the request has no path of its own.
    """

    def __init__(self, request: Request, endpoint: Endpoint, key: str = "") -> None:
        # A row's URL is the address, then the rendered path; the address's own query stays in front of ours.
        address = URL(endpoint.url).with_fragment(None)
        self._base = str(address.with_query(None).with_user(None)).rstrip("/")
        base = URL(self._base)
        self._scheme, self._authority = base.scheme, base.raw_authority
        self._base_path = base.raw_path.rstrip("/")
        self._key = key
        self._path = None if request.path is None else Template("request.path", request.path)
        self._fixed_query = urlencode([*address.query.items(), *endpoint.query.items()])
        self._query = [(f"{quote_plus(name)}=", Template(name, text)) for name, text in request.query.items()]
        self._headers = [(name, Template(name, text)) for name, text in request.headers.items()]
        self._json = None if request.json is None else JsonTemplate("request.json", request.json)

    def text_for(self, row: Mapping[str, str]) -> str:
        """The URL of a row's call, each value percent-encoded as one path segment or query value.

        Raises `PermanentError` for a value that would change the path itself.
        """
        path, query = self._path_for(row), self._query_for(row)
        url = self._base + path
        return f"{url}{'&' if '?' in path else '?'}{query}" if query else url

    def url_for(self, row: Mapping[str, str]) -> URL:
        """The same as a `URL`; putting it together is less work than taking the text apart."""
        path = self._path_for(row)
        if not _PLAIN_PATH.fullmatch(path):  # empty, or with a query or anything else that the template's text holds
            return URL(self.text_for(row), encoded=True)
        return URL.build(
            scheme=self._scheme,
            authority=self._authority,
            path=self._base_path + path,
            query_string=self._query_for(row),
            encoded=True,
        )

    def headers_for(self, row: Mapping[str, str]) -> dict[str, str] | None:
        """The row's own headers, None where there are none; raises `PermanentError` for a line break in one."""
        if not self._headers:
            return None
        headers = {name: template.render(row) for name, template in self._headers}
        for name, value in headers.items():
            if "\r" in value or "\n" in value:
                raise PermanentError(f"the header `{name}` would hold a line break")
        return headers

    def json_for(self, row: Mapping[str, str]) -> Any:
        """The body, None where there is none."""
        return None if self._json is None else self._json.render(row)

    def _path_for(self, row: Mapping[str, str]) -> str:
        path = f"/{_segment(row[self._key])}" if self._path is None else self._path.render(row, _segment)
        if "." in path and any(segment in (".", "..") for segment in path.split("/")):
            raise PermanentError("`.` and `..` are not values that a path can hold")
        return path if path.startswith("/") or not path else f"/{path}"

    def _query_for(self, row: Mapping[str, str]) -> str:
        if not self._query:
            return self._fixed_query
        own = "&".join([name + quote_plus(template.render(row)) for name, template in self._query])
        return f"{self._fixed_query}&{own}" if self._fixed_query else own


def _segment(value: str) -> str:
    # Most keys need no quoting, and to see that is cheaper than to do it.
    return value if value.isalnum() and value.isascii() else quote(value, safe="")


def spread(request: Request, endpoint: Endpoint) -> tuple[Request, Endpoint]:
    """Take an address with fields, `https://host/items?sku={sku}`, as the whole call: host here, path and query there.

    An address without fields is left, for it stands before the request's own path. Raises `ConfigError` for a field in
    the host: a row must not say where credentials go.
    """
    if "{" not in endpoint.url:
        return request, endpoint
    host, path = re.fullmatch(r"(https?://[^/?#]*)(.*)", endpoint.url, re.DOTALL | re.IGNORECASE).groups()  # type: ignore[union-attr]
    if "{" in host:
        raise ConfigError(
            f"the API's address (from {endpoint.origin}) has a field in its host; allowed is one behind it"
        )
    shown, _, query = path.partition("?")
    hidden = tuple(literals(query))
    return replace(request, path=path, shown_path=f"{shown}?…" if query else shown), replace(
        endpoint, url=host, hidden=hidden
    )
