"""Where files are: the project, the storage root, a run's source and its output."""

import os
from collections.abc import Mapping
from pathlib import Path

import include
from include.common.errors import BadInputError
from include.common.storage import Place, exists, place

PROJECT = Path(include.__file__).resolve().parent.parent


def located(text: str, name: str) -> Place:
    """The place of a file or folder, a relative path below the project; `name` is the setting, for messages."""
    return place(text, PROJECT, name)


def storage(environment: Mapping[str, str] = os.environ) -> Place:
    """The storage root, `HEADRACE_STORAGE` (default `data/`)."""
    return located(environment.get("HEADRACE_STORAGE", "").strip() or "data", "HEADRACE_STORAGE")


def source(text: str) -> Place:
    """The CSV that `text` names: a relative path is looked for in the storage root, then in the bundle.

    Raises `BadInputError` where a relative one is in neither.
    """
    if _is_relative(text):
        looked: list[Place] = [storage() / text, PROJECT / text]
        for where in looked:
            if exists(where):
                return where
        raise BadInputError(f"source `{text}` does not exist (looked for `{looked[0]}` and `{looked[1]}`)")
    return located(text, "source")


def output(text: str) -> Place:
    """The place of a file to publish: a relative path stands below the storage root, which all machines reach."""
    return storage() / text if _is_relative(text) else located(text, "output")


def _is_relative(text: str) -> bool:
    return "://" not in text and not text.startswith(("/", "~"))
