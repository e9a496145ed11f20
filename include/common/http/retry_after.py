"""The pause that an API asks for in its answer."""

import email.utils
import re
from datetime import UTC


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds named by a `Retry-After` header (seconds or an HTTP date, RFC 9110 10.2.3); None for neither.

    `now` is in seconds since the epoch.
    """
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,15}(\.\d{1,15})?\s*", value, re.ASCII):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
        if moment.tzinfo is None:  # RFC 9110 5.6.7: an HTTP date is in GMT, said or not
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError):
        return None
