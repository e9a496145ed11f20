"""What a person asks of a run on the command line, in the words of `make run` and `make trigger`."""

import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from include.enrichment.parameters import PARAMETERS
from include.orchestration import systems

DEFAULT_DAG = systems.DEFAULT_DAG


@dataclass(frozen=True)
class RunRequest:
    """A run to start, with the parameters that it was given; the others are the DAG's own.

    Files are as the run will find them.
    """

    dag_id: str
    given: dict[str, Any] = field(default_factory=dict)

    def variables(self) -> set[str]:
        """The variables that it was given."""
        return {parameter.variable for parameter in PARAMETERS if parameter.name in self.given}

    def conf(self, taken: Collection[str] = ()) -> dict[str, Any]:
        """The run's conf, without what its DAG takes from variables that are the same there: a key may be in it."""
        left_out = {parameter.name for parameter in PARAMETERS if parameter.variable in taken}
        return {name: value for name, value in self.given.items() if name not in left_out}


def read_request(dag_id: str, environment: Mapping[str, str], place: Callable[[str, str], str]) -> RunRequest:
    """The request in the variables of `environment`; `place(variable, text)` says where a run finds a file.

    As make puts them there: names and paths with spaces survive that way. Raises `ConfigError` for a value that cannot
    be meant.
    """
    given: dict[str, Any] = {}
    files: list[tuple[str, str, str]] = []
    for parameter in PARAMETERS:
        if text := environment.get(parameter.variable):
            given[parameter.name] = parameter.kind.read(parameter.variable, text)
            files += [(parameter.name, parameter.variable, text)] * parameter.kind.file
    for name, variable, text in files:  # once all is known to be well: a file may have to be copied
        given[name] = place(variable, text)
    return RunRequest(dag_id, given)


def usage() -> str:
    """The variables of a run with what they mean, a paragraph each."""
    wide = max(len(parameter.variable) for parameter in PARAMETERS) + 2
    return "\n".join(
        textwrap.fill(
            parameter.description, 100, initial_indent=parameter.variable.ljust(wide), subsequent_indent=" " * wide
        )
        for parameter in PARAMETERS
    )
