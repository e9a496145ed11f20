"""A run's folder: what each step leaves there for the next, and for people to look at afterwards."""

import time
from dataclasses import asdict, dataclass, field

from include.common.errors import BadInputError
from include.common.files import read_json, write_json
from include.common.names import file_name
from include.common.storage import Place, exists, listed, make_folder, remove_file
from include.enrichment.models import Chunk


@dataclass(frozen=True)
class Source:
    """A CSV as it was read: an absolute path or a URL, its size and SHA-256, how it is written."""

    path: str
    bytes: int
    sha256: str
    encoding: str
    delimiter: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What `plan` settled for the run: `output` is absolute, `rows` counts data rows, `to_call` those to be called.

    `api` is the API's address, without its query, and `api_origin` where that was found;
    `api_url` is the address that the run itself was given, where that holds no key. `limit` None means every row;
    `trial`: only the first rows are called, and no output of their own was named.
    `retry_failed_of` is the run whose answers are kept, `kept` how many. `deadline` is in seconds from the run's start.
    A task of `chunks` has up to `requests_per_task` requests in flight.
    """

    source: Source
    output: str
    key: str
    rate_limit: str
    limit: int | None
    dry_run: bool
    rows: int
    to_call: int
    trial: bool = False
    trim_keys: bool = False
    expected: str | None = None
    api: str = ""
    api_origin: str = ""
    api_url: str | None = None
    chunks: tuple[Chunk, ...] = field(default=(), repr=False)
    requests_per_task: int = 1
    retry_failed_of: str | None = None
    kept: int = 0
    max_calls: int | None = None
    deadline: float | None = None


@dataclass(frozen=True)
class Ending:
    """How a chunk's task ended, for the next one that starts on the chunk.

    `max_tries` tells retries of one task, which share it, from a task that a person has cleared. `stopped` says that it
    ended because the run was stopped; `left` why rows are left that no later try calls,
    `answered` that the API answered it.
    """

    try_number: int
    max_tries: int
    stopped: bool = False
    left: str | None = None
    answered: bool = False


class RunFolder:
    """Paths of one run's files; `plan` makes the folder, the run's id is its name."""

    def __init__(self, storage: Place, pipeline: str, run_id: str) -> None:
        self.pipeline, self.run_id = pipeline, run_id
        self.path = storage / "runs" / pipeline / file_name(run_id)
        self.input = self.path / "input.csv"  # the source as it was when the run began
        self.rows = self.path / "rows.jsonl"  # the rows to call, one JSON object a line
        self.rejects = self.path / "rejects.jsonl"  # the rows that `plan` failed or skipped
        self.kept = self.path / "kept.jsonl"  # the rows that an earlier run answered, with their answers
        self.segments = self.path / "segments"  # the ledger: how each call ended
        self.records = self.path / "records.jsonl"  # the transform's result
        self.errors = self.path / "errors.csv"
        self.tally = self.path / "tally.json"
        self.outputs = self.path / "outputs.jsonl"  # the files that were published
        self.manifest = self.path / "manifest.json"
        self.report = self.path / "report.json"
        self.mark = self.path / "run.json"  # the run's id, from its first moment
        self._endings = self.path / "endings"
        self._plan = self.path / "plan.json"
        self._stop = self.path / "stop.json"

    def create(self) -> None:
        """Make the folder, with the run's id and its begin (epoch) in it."""
        for folder in (self.path, self.segments, self._endings):
            make_folder(folder)
        write_json(self.mark, {"run": self.run_id, "began": time.time()})

    def began(self) -> float | None:
        """When `create` was called last (epoch), None where it was not."""
        found = read_json(self.mark)
        return None if found is None else float(found["began"])

    def write_plan(self, plan: Plan) -> None:
        """From here on the run can be called."""
        write_json(self._plan, asdict(plan))

    def has_plan(self) -> bool:
        """Whether the run came so far that rows could be called."""
        return exists(self._plan)

    def read_plan(self) -> Plan:
        """What `write_plan` wrote; `BadInputError` where there is none."""
        found = read_json(self._plan)
        if found is None:
            raise BadInputError(f"the run has no plan (looked for `{self._plan}`)")
        source = Source(**{**found["source"], "columns": tuple(found["source"]["columns"])})
        chunks = tuple(Chunk(**chunk) for chunk in found["chunks"])
        return Plan(**{**found, "source": source, "chunks": chunks})

    def unsettle(self) -> None:
        """Forget what an earlier pass of the run came to: its rows are called again, or its output written again."""
        for path in (self.tally, self.manifest):
            remove_file(path)

    def forget_manifest(self) -> None:
        """Forget that an earlier pass of the run published anything."""
        remove_file(self.manifest)

    def forget_plan(self) -> None:
        """Forget an earlier plan, so that nobody takes it for the one that is about to be made."""
        self.unsettle()
        remove_file(self._plan)

    def stop(self, reason: str) -> None:
        """Tell every task of the run that no call can succeed, so that they make none."""
        write_json(self._stop, {"reason": reason})

    def stopped(self) -> str | None:
        """The reason to call nothing, None where there is none."""
        found = read_json(self._stop)
        return None if found is None else str(found["reason"])

    def resume(self) -> None:
        """Void a stop: a person has cleared a task that had ended by it."""
        remove_file(self._stop)

    def end(self, chunk: int, ending: Ending) -> None:
        """Remember how a chunk's task ended."""
        write_json(self._ending(chunk), asdict(ending))

    def ending(self, chunk: int) -> Ending | None:
        """What `end` remembers; None where no task of the chunk has ended."""
        found = read_json(self._ending(chunk))
        return None if found is None else Ending(**found)

    def answered(self) -> bool:
        """Whether the API has answered a task that came to its end."""
        return any(found.get("answered") for path in listed(self._endings) if (found := read_json(path)))

    def forget_ending(self, chunk: int) -> None:
        """The chunk's task is at work again."""
        remove_file(self._ending(chunk))

    def _ending(self, chunk: int) -> Place:
        return self._endings / f"{chunk:05d}.json"


def run_folders(storage: Place, pipeline: str) -> list[RunFolder]:
    """The folders of a pipeline's runs, the one that began last first."""
    found = []
    for path in listed(storage / "runs" / pipeline):
        if (content := read_json(path / "run.json")) is not None:
            found.append((float(content["began"]), RunFolder(storage, pipeline, str(content["run"]))))
    return [folder for _, folder in sorted(found, key=lambda pair: pair[0], reverse=True)]
