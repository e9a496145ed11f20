"""What the environment says about reaching an API: HTTP(S)_PROXY, NO_PROXY and ~/.netrc, as everywhere else.

aiohttp's own `trust_env` looks both up anew for every request, in two threads, which takes longer than the request.
"""

from dataclasses import replace

from aiohttp.helpers import basicauth_from_netrc, get_env_proxy_for_url, netrc_from_env
from yarl import URL

from include.common.http.endpoint import Endpoint


def is_proxied(url: URL) -> bool:
    """Whether the environment names a proxy for this host, over http or, where a redirect leads there, https."""
    for scheme in (url.scheme, "https"):
        try:
            get_env_proxy_for_url(URL.build(scheme=scheme, host=url.host or "", port=url.port))
        except LookupError:
            continue
        return True
    return False


def with_netrc(endpoint: Endpoint) -> Endpoint:
    """The endpoint with the login that ~/.netrc (or the file in NETRC) has for its host, unless it has its own."""
    if endpoint.basic_authorization() or any(name.lower() == "authorization" for name in endpoint.headers):
        return endpoint
    try:
        found = basicauth_from_netrc(netrc_from_env(), URL(endpoint.url).host or "")
    except LookupError:
        return endpoint
    return replace(endpoint, login=found.login, password=found.password)
