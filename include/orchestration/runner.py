"""What the launcher asks of a system whose DAGs it starts and follows: each that has it names it in `systems.py`."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.common.parameters import Parameter
from include.common.storage import Place
from include.orchestration.rest import AirflowApi, TaskState


@dataclass(frozen=True)
class Standing:
    """How far a run is: `done` of `total` `units`, 0 of 0 where that is not known; `words` say what else there is."""

    done: int = 0
    total: int = 0
    words: tuple[str, ...] = ()
    units: str = "rows"


@dataclass(frozen=True)
class Again:
    """How a run is started once more: the command, and the variables that it needs beside those of the run.

    `unshown` are those that are needed and may be secret.
    """

    command: str
    variables: Mapping[str, str] = field(default_factory=dict)
    unshown: frozenset[str] = frozenset()

    def line(self, words: Mapping[str, str]) -> str:
        """The command with `words` as variables of the run, to be copied into a shell."""
        given = {**words, **self.variables}
        return " ".join([self.command, *(f"{name}={shlex.quote(text)}" for name, text in given.items())])


class Run(ABC):
    """A run of a DAG, as the launcher follows it; `given` are the parameters that it was asked for with.

    Whatever it reads may be away for now, which is a `TransientError` or an `OSError`.
    """

    def __init__(self, storage: Place, dag_id: str, run_id: str, given: Mapping[str, Any]) -> None:
        self.dag_id, self.run_id, self.given = dag_id, run_id, given

    def foreseen(self) -> str | None:
        """What is said once, as soon as it is known; None until then."""
        return None

    @abstractmethod
    def standing(self, api: AirflowApi, tasks: Sequence[TaskState]) -> Standing:
        """How far the run is. It is asked once in a while, and may ask the tasks for more."""

    @abstractmethod
    def stop(self, reason: str) -> None:
        """Have its tasks call no more, where they look; they are ended afterwards in any case."""

    @abstractmethod
    def is_calling(self, tasks: Sequence[TaskState]) -> bool:
        """Whether one of the tasks may have a call under way, which a stop leaves some time."""

    @abstractmethod
    def report(self) -> str | None:
        """What the run came to, for a terminal; None where it has left no report."""

    @abstractmethod
    def report_late(self, seconds: float) -> str:
        """Report in the place of an Airflow that was stopped before it could; returns it for Telegram, as HTML."""

    def hint(self, again: Again) -> str | None:
        """What a person may do after the report, with the command for it; None where there is nothing."""
        return None


@dataclass(frozen=True)
class Runner:
    """What a system's runner module has as `RUNNER`: the parameters of its runs, and how one is followed."""

    parameters: Sequence[Parameter]
    run: type[Run]
