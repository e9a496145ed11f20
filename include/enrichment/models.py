"""What a pipeline is, and the small values that pass between its steps."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from include.common.durations import parse_duration
from include.common.errors import ConfigError
from include.common.limits.rate_limit import parse_rate
from include.enrichment.encodings import check_encoding
from include.enrichment.templates import Template, templates_in

DELIMITERS = (",", ";", "\t", "|")
# What `errors.csv` adds to the input's columns.
OUTCOME = ("status", "attempts", "error")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def carried_outcome(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of an earlier run's outcome, where the input is an `errors.csv` that is fed back; else none."""
    return OUTCOME if set(OUTCOME) <= set(columns) else ()


class RowStatus(StrEnum):
    """How a row ended. `RETRY` is under way: it failed in a way that may pass, and counts as failed at the end."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    RETRY = "retry"


@dataclass(frozen=True)
class Request:
    """The call made for a row. `path`, and every text in `query`, `headers` and `json`, is a template of its columns.

    `path` None appends the row's key to the address, whichever column the run takes it from.
    `connection` is the Airflow connection that holds the address and the credentials; `address_variable` is an
    environment variable that may hold the address instead; `demo_path` is where the demo API answers such calls.
    `shown_path` stands for the path in messages, where that holds more than everybody may see.
    `timeout` is in seconds for each request with its whole answer, `max_bytes` caps the decompressed answer.
    """

    connection: str
    path: str | None = None
    method: str = "GET"
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    timeout: float = 10.0
    max_bytes: int = 10 * 1024 * 1024
    shown_path: str | None = None
    address_variable: str | None = None
    demo_path: str | None = None

    def __post_init__(self) -> None:
        _one_of("request.method", self.method, METHODS)
        _positive("request.timeout", self.timeout)
        _positive("request.max_bytes", self.max_bytes)
        if self.path is not None and not isinstance(self.path, str):
            raise ConfigError(f"request.path is `{self.path}`; allowed is a text, or None to append the key")
        for part, values in (("query", self.query), ("headers", self.headers)):
            for name, value in values.items():
                if not isinstance(value, str):
                    raise ConfigError(f"request.{part}.{name} is `{value}`; allowed is a text")
        self.templates()

    def templates(self) -> list[Template]:
        """Every template of the request; raises `ConfigError` where one is malformed."""
        path = [] if self.path is None else [Template("request.path", self.path, self.shown_path)]
        return [
            *path,
            *templates_in("request.query", self.query),
            *templates_in("request.headers", self.headers),
            *templates_in("request.json", self.json),
        ]


@dataclass(frozen=True)
class Expected:
    """What an answer of status 200 must hold, for APIs that report trouble with 200 (a soft error).

    `key` is a path of keys, `data.items`, or one key that is called so as a whole, such as `Time Series (Daily)`. What
    stands there must not be null or empty, and is an object where `kind` is "object"; where it is not, the text under
    the first of `notes` says why, else the answer itself.
    """

    key: str
    notes: tuple[str, ...] = ()
    kind: str = "any"

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not self.key.strip():
            raise ConfigError(f"expected.key is `{self.key}`; allowed is a key or a path of keys such as data.items")
        _one_of("expected.kind", self.kind, ("any", "object"))


@dataclass(frozen=True)
class Pipeline:
    """The typed configuration of one CSV job. Raises `ConfigError` for values that cannot work.

    `source` and `output` are paths or URLs, relative ones below the project's folder; `output` may hold the key
    column (`results/{symbol}.json`) for one file a row. `key` names the column that identifies a row.
    `rate_limit` counts for all runs of the pipeline together. `pool` is the Airflow pool that caps requests in flight.
    `transform` is `module:function`, a `DataFrame -> DataFrame`; it gets the rows in parts, or all of them at once
    where `whole`. `max_failed_ratio` is failed / (ok + failed). `max_calls` bounds the calls of a run and `deadline`
    (`"50 minutes"`) its time; what is left then is skipped. The folders of the last `keep_runs` runs are kept.
    A run that was cut short, or tried on the first rows only, writes its part `beside` the last whole output, unless it
    is to `publish` it.
    `delimiter` and `encoding` are detected when None; `trim_keys` takes the blanks around keys away. Up to
    `single_rows` rows, each is a task of its own.
    """

    name: str
    source: str
    output: str
    key: str
    request: Request
    pool: str
    rate_limit: str
    transform: str = "include.enrichment.transforms:flatten"
    expected: Expected | None = None
    max_failed_ratio: float = 0.1
    delimiter: str | None = None
    encoding: str | None = None
    trim_keys: bool = False
    single_rows: int = 20
    whole: bool = False
    max_calls: int | None = None
    deadline: str | None = None
    keep_runs: int = 72
    partial: str = "beside"

    def __post_init__(self) -> None:
        for name in ("name", "source", "output", "key", "pool"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ConfigError(f"{name} is `{getattr(self, name)}`; allowed is a text that is not empty")
        parse_rate(self.rate_limit)
        if not isinstance(self.max_failed_ratio, int | float) or not 0 <= self.max_failed_ratio <= 1:
            raise ConfigError(f"max_failed_ratio is `{self.max_failed_ratio}`; allowed is a number from 0 to 1")
        _whole_number("single_rows", self.single_rows, 0)
        _whole_number("keep_runs", self.keep_runs, 1)
        if self.max_calls is not None:
            _whole_number("max_calls", self.max_calls, 1)
        if self.deadline is not None:
            parse_duration(self.deadline, "deadline")
        _one_of("partial", self.partial, ("beside", "publish"))
        for name in ("whole", "trim_keys"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is `{getattr(self, name)}`; allowed is True or False")
        if self.delimiter is not None:
            _one_of("delimiter", self.delimiter, DELIMITERS)
        if self.encoding is not None:
            check_encoding(self.encoding)
        module, _, function = self.transform.partition(":")
        if not (function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            raise ConfigError(f"transform is `{self.transform}`; allowed is `module:function`")
        check_output(self.output, self.key)


def check_output(output: str, key: str, name: str = "output") -> None:
    """Raise `ConfigError` unless `output` is a path, or one with the key column as its only field."""
    for column in Template(name, output).columns:
        if column != key:
            raise ConfigError(f"{name} is `{output}`: it names `{column}`; allowed is the key column `{key}` only")


@dataclass(frozen=True)
class Chunk:
    """A run of rows for one mapped task: `length` bytes from `offset` of the run's `rows.jsonl`.

    `label` names the task instance: the row's key for a single row, "rows 201-400" otherwise. Of the numbers from
    `first_row` to `last_row`, `rows` are to be called.
    """

    index: int
    label: str
    first_row: int
    last_row: int
    rows: int
    offset: int
    length: int

    def as_dict(self) -> dict[str, Any]:
        """A form small and plain enough for XCom; `Chunk(**…)` reads it back."""
        return asdict(self)


@dataclass(frozen=True)
class Counts:
    """How many rows of the input ended how."""

    rows: int
    ok: int
    failed: int
    skipped: int


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is `{value}`; allowed is one of {', '.join(map(repr, allowed))}")


def _whole_number(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is `{value}`; allowed is a whole number from {least}")


def _positive(name: str, value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise ConfigError(f"{name} is `{value}`; allowed is a number above 0")
