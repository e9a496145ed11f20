"""Where an API is, how to get in, and which of that must never be shown."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from include.common.errors import ConfigError
from include.common.http.redaction import literals, redacted, without_secrets


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
        found += [*literals(self.url.partition("#")[0].partition("?")[2]), *self.hidden]
        return tuple(sorted({text for text in found if len(text) >= 4}, key=len, reverse=True))

    def without_secrets(self, text: str) -> str:
        """`text` with every secret, in each form that a server may repeat it, replaced by `***`."""
        return without_secrets(text, self.secrets)

    def basic_authorization(self) -> str | None:
        """The header for login and password, if there are any."""
        if self.login is None and self.password is None:
            return None
        pair = f"{self.login or ''}:{self.password or ''}".encode()
        return "Basic " + base64.b64encode(pair).decode()
