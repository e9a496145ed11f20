"""What the environment says about reaching an API: HTTP(S)_PROXY, NO_PROXY and ~/.netrc, as everywhere else.

aiohttp's own `trust_env` looks both up anew for every request, in two threads, which takes longer than the request.
"""

import netrc
import os
from dataclasses import replace
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from include.common.http.endpoint import Endpoint


def is_proxied(url: URL) -> bool:
    """Whether the environment names a proxy for this host, over http or, where a redirect leads there, https."""
    return not {url.scheme, "https"}.isdisjoint(getproxies()) and not proxy_bypass(url.host or "")


def with_netrc(endpoint: Endpoint) -> Endpoint:
    """The endpoint with the login that ~/.netrc (or the file in NETRC) has for its host, unless it has its own."""
    if endpoint.basic_authorization() or any(name.lower() == "authorization" for name in endpoint.headers):
        return endpoint
    try:
        file = os.environ.get("NETRC") or Path.home() / ".netrc"
        found = netrc.netrc(file).authenticators(URL(endpoint.url).host or "")
    except (OSError, netrc.NetrcParseError, RuntimeError):  # no file, none that can be read, or no home
        return endpoint
    if found is None:
        return endpoint
    login, account, password = found
    return replace(endpoint, login=login or account, password=password)
