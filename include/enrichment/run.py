"""A run's folder: what each step leaves there for the next, and for people to look at afterwards."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from include.common.errors import BadInputError
from include.common.files import replacing

# File systems allow 255 bytes; what stands around the name (".json") needs some of them.
NAME_BYTES = 200


@dataclass(frozen=True)
class Plan:
    """What `plan` settled for the run: paths are absolute, `rows` counts data rows, `to_call` those to be called.

    `api` is the API's address, without its query, and where that was found. `source_bytes` and
    `source_sha256` describe the file as it was read. `limit` None means every row.
    """

    source: str
    source_bytes: int
    source_sha256: str
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    key: str
    output: str
    rate_limit: str
    limit: int | None
    dry_run: bool
    rows: int
    to_call: int
    api: str = ""


class RunFolder:
    """Paths of one run's files; `plan` makes the folder, the run's id is its name."""

    def __init__(self, storage: Path, pipeline: str, run_id: str) -> None:
        self.path = storage / "runs" / pipeline / file_name(run_id)
        self.input = self.path / "input.csv"  # the source as it was when the run began
        self.rows = self.path / "rows.jsonl"  # the rows to call, one JSON object a line
        self.rejects = self.path / "rejects.jsonl"  # the rows that `plan` failed or skipped
        self.segments = self.path / "segments"  # the ledger: how each call ended
        self.records = self.path / "records.jsonl"  # the transform's result
        self.errors = self.path / "errors.csv"
        self.tally = self.path / "tally.json"
        self.manifest = self.path / "manifest.json"
        self.report = self.path / "report.json"
        self._plan = self.path / "plan.json"
        self._stop = self.path / "stop.json"

    def write_plan(self, plan: Plan) -> None:
        write_json(self._plan, asdict(plan))

    def read_plan(self) -> Plan:
        """What `write_plan` wrote; `BadInputError` where there is none."""
        try:
            found = json.loads(self._plan.read_text("utf-8"))
        except FileNotFoundError as error:
            raise BadInputError(f"the run has no plan (looked for `{self._plan}`)") from error
        return Plan(**{**found, "columns": tuple(found["columns"])})

    def unsettle(self) -> None:
        """Forget what an earlier pass of the run came to: its rows are called again, or its output written again."""
        for path in (self.tally, self.manifest):
            path.unlink(missing_ok=True)

    def forget_plan(self) -> None:
        """Forget an earlier plan, so that nobody takes it for the one that is about to be made."""
        self.unsettle()
        self._plan.unlink(missing_ok=True)

    def stop(self, reason: str) -> None:
        """Tell every task of the run that no call can succeed, so that they make none."""
        write_json(self._stop, {"reason": reason})

    def stopped(self) -> str | None:
        """The reason to call nothing, None where there is none."""
        try:
            return str(json.loads(self._stop.read_text("utf-8"))["reason"])
        except FileNotFoundError:
            return None

    def note_stopped(self, chunk: int) -> None:
        """Remember that a chunk's task ended because of `stop`: if it starts again, a person has cleared it."""
        self._halted(chunk).touch()

    def resume(self, chunk: int) -> None:
        """Void the stop that this chunk's task has ended by already."""
        if self._halted(chunk).exists():
            self._stop.unlink(missing_ok=True)
            self._halted(chunk).unlink(missing_ok=True)

    def _halted(self, chunk: int) -> Path:
        return self.path / f"stopped.{chunk:05d}"


def write_json(path: Path, value: object) -> None:
    """A JSON file of a person's reading size, whole or not at all."""
    with replacing(path) as stream:
        text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        stream.write(text.encode("utf-8", "backslashreplace"))  # half a surrogate pair becomes its JSON escape


def file_name(text: str) -> str:
    """`text` as the name of one file: letters of any alphabet and ` -_.+^@=,:` stay, the rest is percent-encoded.

    Different texts have different names; a name that would be too long ends in a digest of the text instead.
    """
    name = "".join(
        c if c.isalnum() or c in " -_.+^@=,:" else quote(c, safe="", errors="backslashreplace") for c in text
    )
    name = re.sub(r"^\.", "%2E", name)
    if len(name.encode("utf-8", "backslashreplace")) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return name.encode()[: NAME_BYTES - 17].decode("utf-8", "ignore") + "~" + digest
