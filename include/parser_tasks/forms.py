"""The forms of a source and of its schedule: what was typed, what is wrong with it, what it comes to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from include.common.durations import parse_duration, say_duration
from include.common.errors import BadInputError, ConfigError, HeadraceError
from include.common.text import shown
from include.parser_tasks.catalog import ScheduleGiven, SourceGiven
from include.parser_tasks.views import ScheduleRow, SourceRow

# Where the words of a refusal are not those of the form: the first that stand in it name the field.
_MEANT = {
    "has the name": "name",
    "has this address": "address",
    "deadline_seconds": "deadline",
    "has a schedule for": "task_type",
}
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Form:
    """The text of each field, errors by field, and what is wrong with the whole."""

    texts: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""

    def error(self, name: str) -> str:
        """What is wrong with a field; "" where nothing is."""
        return self.errors.get(name, "")

    @property
    def focused(self) -> str:
        """The field that a person goes on with."""
        names = [name for name in self.texts if name != "source_id"]
        return next((name for name in names if name in self.errors), names[0])

    def refused(self, error: HeadraceError) -> "Form":
        """The form with what was said of it, at the field that is meant."""
        sentence = str(error)
        meant = next((name for words, name in _MEANT.items() if words in sentence), sentence.split(" ")[0])
        if meant in self.texts:
            return replace(self, errors={**self.errors, meant: sentence.replace("deadline_seconds", "deadline")})
        return replace(self, trouble=sentence)


def source_form(source: SourceRow | None = None) -> Form:
    """The form as it opens."""
    if source is None:
        return Form({"name": "", "parser": "", "address": "", "settings": "{}", "active": "on"})
    settings = json.dumps(source.settings, ensure_ascii=False, indent=2) if source.settings else "{}"
    return Form(
        {
            "name": source.name,
            "parser": source.parser,
            "address": source.address,
            "settings": settings,
            "active": "on" if source.active else "",
        }
    )


def schedule_form(source_id: int, schedule: ScheduleRow | None = None, task_type: str = "") -> Form:
    """The form as it opens."""
    if schedule is None:
        texts = {"task_type": task_type, "schedule": "15 minutes", "deadline": "10 minutes", "priority": "0"}
        return Form({**texts, "active": "on", "source_id": str(source_id)})
    return Form(
        {
            "schedule": schedule.schedule,
            "deadline": written_duration(schedule.deadline_seconds),
            "priority": str(schedule.priority),
            "active": "on" if schedule.active else "",
            "source_id": str(source_id),
        }
    )


def filled(form: Form, given: Mapping[str, str]) -> Form:
    """The form as it came back."""
    return Form({name: given.get(name, "") for name in form.texts})


def source_given(form: Form) -> SourceGiven:
    """What the form says; raises `BadInputError` for what is no JSON object."""
    texts = form.texts
    return SourceGiven(
        name=texts["name"],
        parser=texts["parser"],
        address=texts["address"],
        settings=_settings(texts["settings"]),
        active=bool(texts["active"]),
    )


def schedule_given(form: Form) -> ScheduleGiven:
    """What the form says; raises `BadInputError` for what is no time or no number."""
    texts = form.texts
    return ScheduleGiven(
        task_type=texts.get("task_type", ""),
        schedule=texts["schedule"],
        priority=_priority(texts["priority"]),
        deadline_seconds=_deadline(texts["deadline"]),
        active=bool(texts["active"]),
    )


def written_duration(seconds: float) -> str:
    """As `parse_duration` reads it."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return say_duration(seconds)


def _settings(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"settings are no JSON: {shown(str(error))}") from error
    if not isinstance(found, dict):
        raise BadInputError('settings are no JSON object; allowed is such as {"limit": 20}')
    return found


def _deadline(text: str) -> float:
    try:
        return parse_duration(" ".join(text.split()), "deadline")
    except ConfigError as error:
        raise BadInputError(
            f"deadline is `{shown(text)}`; allowed is a time such as `90 seconds`, `10 minutes`"
        ) from error


def _priority(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadInputError(f"priority is `{shown(text)}`; allowed is a whole number") from error
