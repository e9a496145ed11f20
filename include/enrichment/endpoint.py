"""Where an API is, how to get in, and which of that must never be shown."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from yarl import URL

from include.common.errors import ConfigError
from include.enrichment.models import Request


@dataclass(frozen=True)
class Endpoint:
    """Where an API is and how to get in. `origin` says where the address was found, for messages.

    `headers` and `query` go with every call to this host. Their values, `password`, the values in the address's own
    query and `hidden` never appear in a message.
    """

    url: str
    origin: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        try:
            url = URL(self.url)
            usable = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(
                f"the API's address is `{redacted(self.url)}` (from {self.origin}); "
                "allowed is an http:// or https:// URL with a host"
            )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must not be shown; very short ones are left, they would blank out ordinary words."""
        basic = self.basic_authorization()
        found = [
            *self.headers.values(),
            *self.query.values(),
            self.password or "",
            basic or "",
            basic[6:] if basic else "",
        ]
        found += [value.partition(" ")[2] for value in self.headers.values()]
        found += [*_literals(self.url.partition("#")[0].partition("?")[2]), *self.hidden]
        return tuple(sorted({text for text in found if len(text) >= 4}, key=len, reverse=True))

    def without_secrets(self, text: str) -> str:
        """`text` with every secret, in each form that a server may repeat it, replaced by `***`."""
        for secret in self.secrets:
            for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
                text = text.replace(form, "***").replace(form.replace("/", r"\/"), "***")
        return text.encode("utf-8", "replace").decode()  # half a surrogate pair can be sent as JSON, but not printed

    def basic_authorization(self) -> str | None:
        """The header for login and password, if there are any."""
        if self.login is None and self.password is None:
            return None
        pair = f"{self.login or ''}:{self.password or ''}".encode()
        return "Basic " + base64.b64encode(pair).decode()


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
    hidden = tuple(_literals(query))
    return replace(request, path=path, shown_path=f"{shown}?…" if query else shown), replace(
        endpoint, url=host, hidden=hidden
    )


def _literals(query: str) -> list[str]:
    """What stands written in a query's values, as it is and decoded: any of it may be a key."""
    values = [pair.partition("=")[2] or pair for pair in re.split("[&;]", query)]
    parts = [part for value in values for part in [value, *re.split(r"\{[^{}]*\}", value)]]
    return [form for part in parts for form in (part, unquote_plus(part), unquote(part))]


def redacted(url: str) -> str:
    """A URL without its credentials and its query."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
