"""What a person asks of a run on the command line, in the words of `make run` and `make trigger`."""

import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from include.common.errors import ConfigError
from include.common.parameters import Parameter
from include.common.storage import Place
from include.orchestration import systems
from include.orchestration.runner import Run, Runner

DEFAULT_DAG = systems.DEFAULT_DAG


@dataclass(frozen=True)
class RunRequest:
    """A run to start, with the parameters that it was given; the others are the DAG's own.

    Files are as the run will find them.
    """

    dag_id: str
    runner: Runner
    given: dict[str, Any] = field(default_factory=dict)

    def variables(self) -> set[str]:
        """The variables that it was given."""
        return {parameter.variable for parameter in self.runner.parameters if parameter.name in self.given}

    def conf(self, taken: Collection[str] = ()) -> dict[str, Any]:
        """The run's conf, without what its DAG takes from variables that are the same there: a key may be in it."""
        left_out = {parameter.name for parameter in self.runner.parameters if parameter.variable in taken}
        return {name: value for name, value in self.given.items() if name not in left_out}

    def run(self, storage: Place, run_id: str) -> Run:
        """The run that was started for it."""
        return self.runner.run(storage, self.dag_id, run_id, self.given)


def runner_of(dag_id: str) -> Runner:
    """What starts and follows runs of a DAG; `ConfigError` for one that is not known, or not run from here."""
    modules = {dag_id: system.runner for system in systems.SYSTEMS if system.runner for dag_id in system.dag_ids()}
    if dag_id not in modules:
        known = ", which `make run` and `make trigger` do not start" if dag_id in systems.dag_ids() else ""
        raise ConfigError(f"DAG is `{dag_id}`{known}; allowed is one of {', '.join(sorted(modules))}")
    return _runner(modules[dag_id])


def read_request(dag_id: str, environment: Mapping[str, str], place: Callable[[Parameter, str], str]) -> RunRequest:
    """The request in the variables of `environment`; `place(parameter, text)` says where a run finds a file.

    As make puts them there: names and paths with spaces survive that way. Raises `ConfigError` for a value that cannot
    be meant.
    """
    runner = runner_of(dag_id)
    given: dict[str, Any] = {}
    files: list[tuple[Parameter, str]] = []
    for parameter in runner.parameters:
        if text := environment.get(parameter.variable):
            given[parameter.name] = parameter.kind.read(parameter.variable, text)
            files += [(parameter, text)] * parameter.kind.file
    for parameter, text in files:  # once all is known to be well: a file may have to be copied
        given[parameter.name] = place(parameter, text)
    return RunRequest(dag_id, runner, given)


def usage() -> str:
    """The variables of a run with what they mean, a paragraph each."""
    modules = dict.fromkeys(system.runner for system in systems.SYSTEMS if system.runner)
    parameters = [parameter for module in modules for parameter in _runner(module).parameters]
    wide = max(len(parameter.variable) for parameter in parameters) + 2
    return "\n".join(
        textwrap.fill(
            parameter.description, 100, initial_indent=parameter.variable.ljust(wide), subsequent_indent=" " * wide
        )
        for parameter in parameters
    )


def _runner(module: str) -> Runner:
    found: Runner = import_module(module).RUNNER
    return found
