"""When a source is asked again: by an interval (`15 minutes`) or by a cron expression (`*/5 * * * *`, in UTC)."""

import re
from datetime import UTC, datetime
from functools import lru_cache

from cron_descriptor import ExpressionDescriptor, FormatException, MissingFieldException, Options
from croniter import CroniterError, croniter

from include.common import durations
from include.common.errors import BadInputError, ConfigError
from include.common.text import shown

# Seconds. What is due is looked for once a minute.
SHORTEST, LONGEST = 60.0, 366 * 86_400.0
# croniter's own letters for a time that is drawn by lot, anew at each reading.
_LOTS = re.compile(r"(?<![a-z])[rh](?![a-z])", re.IGNORECASE)


def check(text: str, where: str = "schedule") -> str:
    """The schedule as it is kept; raises `BadInputError` for what is none."""
    text = " ".join(text.split())
    try:
        if _is_cron(text):
            if _LOTS.search(text):
                raise CroniterError
            croniter(text, 0.0).get_next(float)
        elif not SHORTEST <= durations.parse_duration(text, where) <= LONGEST:
            raise BadInputError(f"{where} is `{text}`; allowed is an interval of 1 minute to 366 days")
    except (CroniterError, ConfigError) as error:
        raise BadInputError(
            f"{where} is `{shown(text)}`; allowed is an interval as `15 minutes` or `2 hours`, or a cron expression of "
            "five fields as `*/5 * * * *` (UTC)"
        ) from error
    return text


def following(text: str, due: float, now: float) -> float:
    """The first time after `now` at which a schedule that `check` has passed is due; `due` is when it was due last.

    An interval keeps to its own times; whatever was missed meanwhile is one time and not many. Seconds since the epoch.
    """
    if _is_cron(text):
        return _next_of(text, now)
    seconds = durations.parse_duration(text, "schedule")
    return due + seconds * (int((now - due) // seconds) + 1) if now >= due else due


def preview(text: str, now: float, times: int = 5) -> list[datetime]:
    """The next times of a schedule that begins now, as `following` computes them."""
    found, due = [], now
    for _ in range(times):
        due = following(text, due, due)
        found.append(datetime.fromtimestamp(due, UTC))
    return found


@lru_cache(maxsize=1024)
def words(text: str) -> str:
    """A schedule as people say it: `Every 15 minutes`, `Every hour`; a cron expression without words as it is."""
    if not _is_cron(text):
        return f"Every {text.removeprefix('1 ')}"
    options = Options()
    options.locale_code, options.use_24hour_time_format = "en_US", True
    try:
        said = str(ExpressionDescriptor(text, options).get_description())
    except (FormatException, MissingFieldException):
        said = text
    return said if text.split()[1:] == ["*"] * 4 else f"{said} (UTC)"


def _is_cron(text: str) -> bool:
    return len(text.split()) == 5 or text.startswith("@")


@lru_cache(maxsize=1024)  # many sources have the same schedule and are due at the same time
def _next_of(text: str, now: float) -> float:
    return float(croniter(text, now).get_next(float))
