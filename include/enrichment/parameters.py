"""The parameters of a run, each declared once: the form, the REST API, `make run` and the job follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from include.common.errors import ConfigError
from include.common.parameters import ADDRESS, COUNT, DURATION, INPUT, OUTPUT, RATE, SWITCH, TEXT, Kind, Parameter
from include.enrichment.encodings import check_encoding
from include.enrichment.models import Pipeline
from include.enrichment.run import Plan


@dataclass(frozen=True)
class PipelineParameter(Parameter):
    """A parameter of a pipeline's run: `title` and `section` in the form.

    `default` takes it from the pipeline. Where `empty` says what no value means, with fields of the `pipeline`, it may
    be None. A redrive takes the value that `earlier` reads in the plan of the run it names, where its own is left as
    it is; another one is an error where the value is `fixed`, for the rows are those of that run.
    """

    title: str
    section: str
    default: Callable[[Pipeline], Any] = lambda pipeline: None
    empty: str = ""
    earlier: Callable[[Plan], Any] | None = None
    fixed: bool = False

    def schema(self) -> dict[str, Any]:
        """What a value in the conf must be, as JSON schema."""
        found = dict(self.kind.schema)
        return {**found, "type": ["null", found["type"]]} if self.empty else found

    def explained(self, pipeline: Pipeline) -> str:
        """The description, with what no value means to the pipeline."""
        return self.description + (f"; empty: {self.empty.format(pipeline=pipeline)}" if self.empty else "")

    def value(self, chosen: Any) -> Any:
        """A value of the conf as the job has it: 10.0 is an integer to JSON schema."""
        return int(chosen) if chosen is not None and self.kind is COUNT else chosen


def _encoding(variable: str, text: str) -> str:
    check_encoding(text, variable)
    return text


ENCODING = Kind({"type": "string", "minLength": 1}, _encoding)

# Airflow's own name for the first section, and the only one that its form shows open.
MAIN = "Run Parameters"
BOUNDS = "Bounds"
READING = "How the CSV is read"
PART = "Trial, and only what failed"

# The Makefile and deploy/stack.sh read `variable` and `kind` here: each stands on a line of its own, in this order.
PARAMETERS = (
    PipelineParameter(
        name="source",
        variable="CSV",
        title="CSV file",
        section=MAIN,
        description="A path or a URL; a relative path is looked for in the storage root, then the bundle",
        kind=INPUT,
        default=lambda pipeline: pipeline.source,
        earlier=lambda plan: plan.source.path,
        fixed=True,
    ),
    PipelineParameter(
        name="key",
        variable="KEY",
        title="Key column",
        section=MAIN,
        description="The column that identifies a row",
        kind=TEXT,
        default=lambda pipeline: pipeline.key,
        earlier=lambda plan: plan.key,
        fixed=True,
    ),
    PipelineParameter(
        name="limit",
        variable="LIMIT",
        title="Only the first rows",
        section=MAIN,
        description="How many rows of the CSV are taken",
        kind=COUNT,
        empty="all",
        earlier=lambda plan: plan.limit,
        fixed=True,
    ),
    PipelineParameter(
        name="api_url",
        variable="API_URL",
        title="API address",
        section=MAIN,
        description="The address that this run calls: the key is appended, or `{column}` fields stand in it",
        kind=ADDRESS,
        empty="that of the connection {pipeline.request.connection}",
        earlier=lambda plan: plan.api_url,
    ),
    PipelineParameter(
        name="rate_limit",
        variable="RATE",
        title="Rate limit",
        section=MAIN,
        description="Calls per time, such as 50/second or 1/30 seconds, or none; for all tasks and runs together",
        kind=RATE,
        empty="{pipeline.rate_limit} (and none for the demo API)",
        earlier=lambda plan: plan.rate_limit,
    ),
    PipelineParameter(
        name="expected",
        variable="EXPECTED",
        title="What an answer must hold",
        section=MAIN,
        description="A path of keys, such as data.items: an answer without it is called again, then its row fails",
        kind=TEXT,
        default=lambda pipeline: pipeline.expected and pipeline.expected.key,
        empty="any JSON is an answer",
        earlier=lambda plan: plan.expected,
    ),
    PipelineParameter(
        name="output",
        variable="OUTPUT",
        title="Output file",
        section=MAIN,
        description="The JSON file to publish; below the storage root if relative",
        kind=OUTPUT,
        default=lambda pipeline: pipeline.output,
        earlier=lambda plan: plan.output,
    ),
    PipelineParameter(
        name="max_calls",
        variable="MAX_CALLS",
        title="Most calls",
        section=BOUNDS,
        description="Stop after so many calls, retries included, and skip the other rows",
        kind=COUNT,
        default=lambda pipeline: pipeline.max_calls,
        empty="no bound",
    ),
    PipelineParameter(
        name="deadline",
        variable="DEADLINE",
        title="Deadline",
        section=BOUNDS,
        description="Make no call later than so long after the run's start, such as 50 minutes",
        kind=DURATION,
        default=lambda pipeline: pipeline.deadline,
        empty="no deadline",
    ),
    PipelineParameter(
        name="encoding",
        variable="ENCODING",
        title="Encoding",
        section=READING,
        description="The encoding of the CSV, such as cp1251",
        kind=ENCODING,
        default=lambda pipeline: pipeline.encoding,
        empty="detected",
        earlier=lambda plan: plan.source.encoding,
        fixed=True,
    ),
    PipelineParameter(
        name="trim_keys",
        variable="TRIM_KEYS",
        title="Trim the keys",
        section=READING,
        description="Take the blanks around keys away; without it they are called as the CSV has them",
        kind=SWITCH,
        default=lambda pipeline: pipeline.trim_keys,
        earlier=lambda plan: plan.trim_keys,
        fixed=True,
    ),
    PipelineParameter(
        name="dry_run",
        variable="DRY_RUN",
        title="Dry run",
        section=PART,
        description="Plan and report, call nothing",
        kind=SWITCH,
        default=lambda pipeline: False,
    ),
    PipelineParameter(
        name="retry_failed_of",
        variable="RETRY_FAILED_OF",
        title="Only what failed in the run",
        section=PART,
        description="A run id: call only the rows that have no answer in that run, publish all. The rows are that "
        "run's, and output, rate and address where they are left as they are",
        kind=TEXT,
        empty="call every row",
    ),
)
NAMES = tuple(parameter.name for parameter in PARAMETERS)


# What a redrive is not given anew: it has a run to retry, and is to call.
NOT_AGAIN = ("retry_failed_of", "dry_run")


def given_again(plan: Plan, given: Mapping[str, Any]) -> list[tuple[PipelineParameter, Any]]:
    """Of what a run was `given`, that which a redrive of it does not take from its `plan`."""
    found = []
    for parameter in PARAMETERS:
        value = given.get(parameter.name)
        carried = parameter.earlier is not None and parameter.earlier(plan) is not None
        if value is not None and not carried and parameter.name not in NOT_AGAIN:
            found.append((parameter, value))
    return found


def over_earlier(pipeline: Pipeline, chosen: Mapping[str, Any], earlier: Plan) -> dict[str, Any]:
    """The values of a redrive of the run that `earlier` is the plan of; `ConfigError` for one that it cannot have."""
    values = dict(chosen)
    for parameter in PARAMETERS:
        if parameter.earlier is None:
            continue
        name, own, theirs = parameter.name, parameter.default(pipeline), parameter.earlier(earlier)
        if parameter.fixed and chosen[name] not in (own, theirs):
            raise ConfigError(f"{name} is `{chosen[name]}`; with retry_failed_of it is that run's, `{theirs}`")
        if parameter.fixed or chosen[name] == own:
            values[name] = theirs
    return values
