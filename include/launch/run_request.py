"""What a person asks of a run on the command line, in the words of `make run` and `make trigger`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from include.common.durations import parse_duration
from include.common.errors import ConfigError
from include.common.http.endpoint import Endpoint
from include.common.limits.rate_limit import parse_rate

DEFAULT_DAG = "csv_processing"
# As make puts them into the environment: names and paths with spaces survive that way.
VARIABLES = ("CSV", "OUTPUT", "LIMIT", "RATE", "KEY", "DRY_RUN", "RETRY_FAILED_OF", "MAX_CALLS", "DEADLINE")


@dataclass(frozen=True)
class RunRequest:
    """A run to start; None leaves the DAG's own value. `source` and `output` are as the run will find them."""

    dag_id: str
    source: str | None = None
    output: str | None = None
    api_url: str | None = None
    limit: int | None = None
    rate: str | None = None
    key: str | None = None
    dry_run: bool = False
    retry_failed_of: str | None = None
    max_calls: int | None = None
    deadline: str | None = None

    def conf(self) -> dict[str, Any]:
        """The DAG run's parameters, all but the address: whoever starts the run knows what is called without it."""
        chosen = {
            "source": self.source,
            "output": self.output,
            "limit": self.limit,
            "rate_limit": self.rate,
            "key": self.key,
            "dry_run": self.dry_run or None,
            "retry_failed_of": self.retry_failed_of,
            "max_calls": self.max_calls,
            "deadline": self.deadline,
        }
        return {name: value for name, value in chosen.items() if value is not None}


def read_request(
    dag_id: str, environment: Mapping[str, str], api_url: str | None, place: Callable[[str, str], str]
) -> RunRequest:
    """The request in the variables of `environment`; `place(variable, text)` says where a run finds a file.

    Raises `ConfigError` for a value that cannot be meant.
    """
    given = {name: environment.get(name) or None for name in VARIABLES}
    if given["RATE"] is not None:
        parse_rate(given["RATE"], "RATE")
    if given["DEADLINE"] is not None:
        parse_duration(given["DEADLINE"], "DEADLINE")
    if api_url:
        Endpoint(api_url, "API_URL")
    return RunRequest(
        dag_id=dag_id,
        source=given["CSV"] and place("CSV", given["CSV"]),
        output=given["OUTPUT"] and place("OUTPUT", given["OUTPUT"]),
        api_url=api_url,
        limit=whole_number("LIMIT", given["LIMIT"]) if given["LIMIT"] else None,
        max_calls=whole_number("MAX_CALLS", given["MAX_CALLS"]) if given["MAX_CALLS"] else None,
        deadline=given["DEADLINE"],
        retry_failed_of=given["RETRY_FAILED_OF"],
        rate=given["RATE"],
        key=given["KEY"],
        dry_run=switch("DRY_RUN", given["DRY_RUN"]),
    )


def whole_number(name: str, text: str) -> int:
    """A whole number from 1, else a `ConfigError` that names the variable."""
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{name} is `{text}`; allowed is a whole number from 1")
    return int(text)


def switch(name: str, text: str | None) -> bool:
    """Whether a variable that is 0, 1 or not set is on."""
    if text not in (None, "", "0", "1"):
        raise ConfigError(f"{name} is `{text}`; allowed is 0 or 1")
    return text == "1"
