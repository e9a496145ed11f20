"""What may be shown of an address, and texts with everything taken out that may not."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from yarl import URL


def redacted(url: str) -> str:
    """A URL without its credentials and its query."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]


def literals(query: str) -> list[str]:
    """What stands written in the values of a URL's query, as it is and decoded: any of it may be a key.

    `{column}` fields are none.
    """
    values = [pair.partition("=")[2] or pair for pair in re.split("[&;]", query)]
    parts = [part for value in values for part in [value, *re.split(r"\{[^{}]*\}", value)]]
    return [form for part in parts for form in (part, unquote_plus(part), unquote(part))]


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` with every secret, in each form that a server may repeat it, replaced by `***`."""
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
            text = text.replace(form, "***").replace(form.replace("/", r"\/"), "***")
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair can be sent as JSON, but not printed


def may_hold_key(url: str) -> bool:
    """Whether a URL may hold a key: a login, or anything but `{column}` fields in the values of its query."""
    query = re.sub(r"\{[^{}]*\}", "", url.partition("#")[0].partition("?")[2])
    pairs = (pair.partition("=") for pair in re.split("[&;]", query) if pair)
    return "@" in url or any(value or not equals for _, equals, value in pairs)
