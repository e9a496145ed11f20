"""Times as people write and read them: `50 minutes` in, `3 min 20 s` out."""

import math
import re

from include.common.errors import ConfigError

# Seconds of each unit.
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
# The same rule for Python and for a JSON schema. The end is written so that a line break behind it counts, in Python as
# in JavaScript.
PATTERN = r"^[1-9][0-9]{0,8} (second|minute|hour|day)s?(?![\s\S])"


def parse_duration(text: str, field: str) -> float:
    """Seconds of `"50 minutes"` or `"2 hours"`; else `ConfigError` naming `field`."""
    if not isinstance(text, str) or not re.match(PATTERN, text):
        raise ConfigError(f"{field} is `{text}`; allowed is a time such as `90 seconds`, `50 minutes`, `2 hours`")
    count, unit = text.split(" ")
    return float(int(count) * UNITS[unit.removesuffix("s")])


def say_duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`: the two largest units that matter."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    whole = math.ceil(seconds)
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"
