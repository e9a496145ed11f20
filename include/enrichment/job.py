"""What a run was asked for."""

from dataclasses import dataclass

from include.common.storage import Place
from include.enrichment.run import RunFolder


@dataclass(frozen=True)
class Job:
    """Absolute places, and the run's own choices over the pipeline's.

    `retry` is the folder of an earlier run whose answers are kept and whose other rows are called; `source`, `key` and
    `limit` are that run's then. `own_output`: the output is the pipeline's own. `encoding` None is detected;
    `trim_keys` takes the blanks around keys away; `expected` is what an answer must hold. `deadline` is in seconds from
    the run's start. `api`, `api_origin` and `api_url` are as a `Plan`'s.
    """

    source: Place
    output: Place
    key: str
    rate_limit: str
    own_output: bool = False
    limit: int | None = None
    dry_run: bool = False
    encoding: str | None = None
    trim_keys: bool = False
    expected: str | None = None
    api: str = ""
    api_origin: str = ""
    api_url: str | None = None
    max_calls: int | None = None
    deadline: float | None = None
    retry: RunFolder | None = None
