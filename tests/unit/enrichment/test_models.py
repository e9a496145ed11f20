"""The typed configuration: what it accepts, and how it says no."""

import json

import pytest

from include.common.errors import ConfigError
from include.enrichment.models import Chunk, Request, RowStatus, carried_outcome, check_output


def test_the_defaults_are_those_of_the_manual(planning):
    pipeline = planning.pipeline()
    assert (pipeline.max_failed_ratio, pipeline.single_rows, pipeline.keep_runs) == (0.1, 20, 72)
    assert (pipeline.whole, pipeline.max_calls, pipeline.deadline) == (False, None, None)
    assert (pipeline.request.method, pipeline.request.timeout, pipeline.request.max_bytes) == ("GET", 10.0, 10485760)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("source", " "),
        ("output", ""),
        ("key", ""),
        ("key", None),
        ("pool", ""),
        ("rate_limit", "fast"),
        ("rate_limit", None),
        ("max_failed_ratio", -0.1),
        ("max_failed_ratio", 1.1),
        ("max_failed_ratio", float("nan")),
        ("max_failed_ratio", "10%"),
        ("delimiter", ":"),
        ("delimiter", ""),
        ("encoding", "rot13"),
        ("transform", "flatten"),
        ("transform", "include.enrichment.transforms:"),
        ("transform", "include/enrichment/transforms.py:flatten"),
        ("single_rows", -1),
        ("single_rows", 1.5),
        ("single_rows", True),
        ("keep_runs", 0),
        ("keep_runs", "72"),
        ("max_calls", 0),
        ("max_calls", -1),
        ("max_calls", 1.5),
        ("max_calls", True),
        ("deadline", ""),
        ("deadline", "50"),
        ("deadline", "0 minutes"),
        ("deadline", "1.5 hours"),
        ("deadline", "50 minutes\n"),
        ("deadline", "two hours"),
        ("deadline", 3000),
        ("whole", 1),
        ("whole", "yes"),
        ("output", "results/{name}.json"),
    ],
)
def test_nonsense_in_a_pipeline_names_the_field_the_value_and_what_is_allowed(planning, field, value):
    with pytest.raises(ConfigError) as caught:
        planning.pipeline(**{field: value})
    message = str(caught.value)
    assert message.startswith(f"{field} is `{value}`")
    assert "allowed is" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "FETCH"),
        ("method", "get"),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "10"),
        ("timeout", True),
        ("timeout", float("nan")),
        ("max_bytes", 0),
        ("path", "/{id"),
        ("path", "/{}"),
    ],
)
def test_nonsense_in_a_request_names_the_field_the_value_and_what_is_allowed(field, value):
    with pytest.raises(ConfigError) as caught:
        Request(**{"connection": "csv_api", "path": "/{id}"} | {field: value})
    message = str(caught.value)
    assert message.startswith(f"request.{field} is `{value}`")
    assert "allowed is" in message


@pytest.mark.parametrize("part", ["query", "headers", "json"])
def test_a_malformed_template_is_named_by_its_place(part):
    with pytest.raises(ConfigError, match=rf"^request\.{part}\.symbol is `\{{symbol`"):
        Request(connection="csv_api", path="/", **{part: {"symbol": "{symbol"}})


@pytest.mark.parametrize("part", ["query", "headers"])
def test_a_query_or_header_value_that_is_no_text_is_named_before_any_call(part):
    with pytest.raises(ConfigError, match=rf"^request\.{part}\.page is `1`"):
        Request(connection="csv_api", path="/", **{part: {"page": 1}})


def test_a_path_that_is_no_text_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"^request\.path is `7`"):
        Request(connection="csv_api", path=7)


def test_a_request_lists_every_template_that_it_holds():
    request = Request(
        connection="csv_api",
        path="/{id}",
        query={"lang": "{lang}"},
        headers={"X-Key": "{key}"},
        json={"user": {"name": "{name}"}},
    )
    assert [column for template in request.templates() for column in template.columns] == ["id", "lang", "key", "name"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", None])
def test_the_delimiters_of_the_manual_are_allowed(planning, delimiter):
    assert planning.pipeline(delimiter=delimiter).delimiter == delimiter


@pytest.mark.parametrize("encoding", ["utf-8", "UTF_16", "cp866", "latin-1", "gb18030", None])
def test_the_text_encodings_of_python_are_allowed(planning, encoding):
    assert planning.pipeline(encoding=encoding).encoding == encoding


@pytest.mark.parametrize("ratio", [0, 0.1, 1])
def test_the_ratio_may_be_anything_from_0_to_1(planning, ratio):
    assert planning.pipeline(max_failed_ratio=ratio).max_failed_ratio == ratio


def test_an_output_may_name_the_key_column():
    check_output("results/{symbol}.json", "symbol")


def test_an_output_that_names_another_column_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"output is `results/{company}.json`: it names `company`.*`symbol`"):
        check_output("results/{company}.json", "symbol")


def test_a_chunk_passes_through_json_unchanged():
    chunk = Chunk(index=1, label="rows 201-400", first_row=201, last_row=400, rows=200, offset=9000, length=8800)
    assert Chunk(**json.loads(json.dumps(chunk.as_dict()))) == chunk


def test_the_ways_a_row_ends_are_written_as_in_the_manual():
    assert [str(status) for status in RowStatus] == ["ok", "failed", "skipped", "retry"]


def test_source_and_output_of_a_pipeline_may_be_urls(planning):
    pipeline = planning.pipeline(source="s3://bucket/in.csv", output="s3://bucket/{id}.json")
    assert (pipeline.source, pipeline.output) == ("s3://bucket/in.csv", "s3://bucket/{id}.json")


@pytest.mark.parametrize(
    ("columns", "carried"),
    [
        (("id", "status", "attempts", "error"), ("status", "attempts", "error")),
        (("error", "id", "attempts", "status"), ("status", "attempts", "error")),
        (("id", "status", "error"), ()),
        (("id",), ()),
    ],
)
def test_the_outcome_of_an_earlier_run_is_known_by_all_three_columns(columns, carried):
    assert carried_outcome(columns) == carried
