"""What a reference parser keeps of a source: the results of each task, and what it knows from the last one.

Below the storage root, `parser-tasks/<parser>/<source id>/`: `<task id>.jsonl`, one item a line, and `state.json`.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from include.common.errors import PermanentError, TransientError
from include.common.files import json_lines, read_json, write_json
from include.common.storage import Place
from include.parser_tasks.messages import TaskMessage

log = logging.getLogger(__name__)
LATEST, ALL = "latest", "all"
# Keys and tasks that are remembered of a source.
MOST_SEEN, MOST_TASKS = 5000, 20


class Store:
    """The files of one parser."""

    def __init__(self, root: Place, parser: str) -> None:
        self._root, self._folder = root, f"parser-tasks/{parser}"

    def finished(self, task: TaskMessage) -> dict[str, Any] | None:
        """The statistics of a task whose results are kept already: it came a second time."""
        return next((each["statistics"] for each in self._read(task)["tasks"] if each["id"] == str(task.task_id)), None)

    def state(self, task: TaskMessage) -> dict[str, Any]:
        """What is known of the source; empty where its address is another one than it was."""
        found = self._read(task)
        return found["known"] if found["address"] == task.source.address else {}

    def keep(
        self, task: TaskMessage, items: Iterable[Mapping[str, Any]], known: Mapping[str, Any], **statistics: Any
    ) -> dict[str, Any]:
        """Write the items, then the state, so that a task that is done again finds either both or neither.

        Returns the statistics, with the number of items and the path of their file.
        """
        name = f"{self._folder}/{task.source.id}/{task.task_id}.jsonl"
        items = list(items)
        with json_lines(self._root / name) as write:
            for item in items:
                write(item)
        statistics = {"items": len(items), **statistics, "result": name}
        tasks = [{"id": str(task.task_id), "statistics": statistics}, *self._read(task)["tasks"]]
        state = {"address": task.source.address, "known": known, "tasks": tasks[:MOST_TASKS]}
        write_json(self._state(task), state)
        return statistics

    def _state(self, task: TaskMessage) -> Place:
        return self._root / self._folder / str(task.source.id) / "state.json"

    def _read(self, task: TaskMessage) -> dict[str, Any]:
        try:
            found = read_json(self._state(task))
        except ValueError:
            log.warning("`%s` is no JSON: the source is begun anew", self._state(task))
            found = None
        except OSError as error:
            raise TransientError(f"`{self._state(task)}` cannot be read: {error.strerror or error}") from error
        return {"address": "", "known": {}, "tasks": []} | (found or {})


def check_type(task: TaskMessage) -> None:
    """Raises `PermanentError` for a task type that the reference parsers do not know."""
    if task.task_type not in (LATEST, ALL):
        raise PermanentError(f"task type is `{task.task_type}`; allowed is `{LATEST}` or `{ALL}`")


def setting(task: TaskMessage, name: str, default: int) -> int:
    """A whole number from 1 of the source's settings."""
    value = task.source.settings.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        where = f"setting {name} of source `{task.source.name}`"
        raise PermanentError(f"{where} is `{value}`; allowed is a whole number from 1")
    return value


def seen(new: Iterable[str], before: Iterable[str]) -> list[str]:
    """The keys to remember, the newest first."""
    new = list(dict.fromkeys(new))
    return list(dict.fromkeys([*new, *before]))[: max(MOST_SEEN, len(new))]
