"""What a run may be given: its parameters' names, in the conf and for make, and what a value may be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from include.common import durations
from include.common.http.endpoint import Endpoint
from include.common.limits import rate_limit
from include.common.readers import switch, whole_number

MOST = 1_000_000_000


@dataclass(frozen=True)
class Kind:
    """What a value may be: its JSON schema, and how text of make is read, as `read(variable, text)`.

    `file`: the text is a path, which stands for something else where the run is; `sent`: of a file that the run reads.
    """

    schema: Mapping[str, Any]
    read: Callable[[str, str], Any]
    file: bool = False
    sent: bool = False


@dataclass(frozen=True)
class Parameter:
    """A run's parameter: `name` in the conf, `variable` for make."""

    name: str
    variable: str
    description: str
    kind: Kind


def _text(variable: str, text: str) -> str:
    return text


def _rate(variable: str, text: str) -> str:
    rate_limit.parse_rate(text, variable)
    return text


def _duration(variable: str, text: str) -> str:
    durations.parse_duration(text, variable)
    return text


def _address(variable: str, text: str) -> str:
    Endpoint(text, variable)
    return text


TEXT = Kind({"type": "string", "minLength": 1}, _text)
INPUT = Kind({"type": "string", "minLength": 1}, _text, file=True, sent=True)
OUTPUT = Kind({"type": "string", "minLength": 1}, _text, file=True)
COUNT = Kind({"type": "integer", "minimum": 1, "maximum": MOST}, whole_number)
SWITCH = Kind({"type": "boolean"}, switch)
RATE = Kind({"type": "string", "pattern": rate_limit.PATTERN}, _rate)
DURATION = Kind({"type": "string", "pattern": durations.PATTERN}, _duration)
ADDRESS = Kind({"type": "string", "pattern": "^https?://"}, _address)
