"""A run's parameters: what make's text becomes, what the conf may hold, what a redrive takes."""

from dataclasses import replace

import jsonschema
import pytest

from include.common.errors import ConfigError
from include.enrichment.parameters import NAMES, PARAMETERS, over_earlier

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


def test_the_names_are_those_that_people_and_programs_use():
    assert {parameter.name: parameter.variable for parameter in PARAMETERS} == {
        "source": "CSV",
        "key": "KEY",
        "limit": "LIMIT",
        "api_url": "API_URL",
        "rate_limit": "RATE",
        "output": "OUTPUT",
        "max_calls": "MAX_CALLS",
        "deadline": "DEADLINE",
        "encoding": "ENCODING",
        "trim_keys": "TRIM_KEYS",
        "expected": "EXPECTED",
        "dry_run": "DRY_RUN",
        "retry_failed_of": "RETRY_FAILED_OF",
    }


@pytest.mark.parametrize("parameter", PARAMETERS, ids=NAMES)
def test_the_pipelines_own_value_is_one_that_the_schema_allows(parameter, planning):
    jsonschema.validate(parameter.default(planning.pipeline()), parameter.schema())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("source", "$HOME/a b.csv", "$HOME/a b.csv"),
        ("limit", "5", 5),
        ("rate_limit", "50/second burst 10", "50/second burst 10"),
        ("deadline", "50 minutes", "50 minutes"),
        ("encoding", "cp1251", "cp1251"),
        ("dry_run", "1", True),
        ("dry_run", "0", False),
        ("api_url", "https://api.example.com/{sku}", "https://api.example.com/{sku}"),
    ],
)
def test_text_of_make_becomes_a_value_that_the_conf_may_hold(name, text, value):
    parameter = BY_NAME[name]
    assert parameter.kind.read(parameter.variable, text) == value
    jsonschema.validate(value, parameter.schema())


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("limit", "0", "LIMIT is `0`; allowed is a whole number from 1"),
        ("max_calls", "ten", "MAX_CALLS is `ten`; allowed is a whole number from 1"),
        ("rate_limit", "fast", "RATE is `fast`; allowed is"),
        ("deadline", "soon", "DEADLINE is `soon`; allowed is"),
        ("encoding", "cp99999", "ENCODING is `cp99999`; allowed is a text encoding of Python, such as utf-8"),
        ("encoding", "rot13", "ENCODING is `rot13`; allowed is a text encoding of Python, such as utf-8"),
        ("dry_run", "yes", "DRY_RUN is `yes`; allowed is 0 or 1"),
        ("api_url", "ftp://x", "the API's address is `ftp://x` (from API_URL); allowed is"),
    ],
)
def test_text_that_cannot_be_meant_is_refused_by_its_variable(name, text, sentence):
    parameter = BY_NAME[name]
    with pytest.raises(ConfigError) as caught:
        parameter.kind.read(parameter.variable, text)
    assert str(caught.value).startswith(sentence)


def test_an_empty_value_is_explained_by_the_pipeline(planning):
    assert (
        BY_NAME["rate_limit"].explained(planning.pipeline()).endswith("; empty: 2/minute (and none for the demo API)")
    )
    assert "; empty" not in BY_NAME["source"].explained(planning.pipeline())


def test_a_number_that_json_writes_with_a_point_is_whole():
    assert (BY_NAME["limit"].value(10.0), BY_NAME["limit"].value(None)) == (10, None)


def earlier(planning):
    planning.plan("sku,id\n1,a\n", key="sku", rate_limit="5/second")
    return replace(planning.made, api_url="https://api.example.com", limit=7)


def chosen(planning, **values):
    own = {parameter.name: parameter.default(planning.pipeline()) for parameter in PARAMETERS}
    return over_earlier(planning.pipeline(), own | values, earlier(planning))


def test_a_redrive_takes_rows_rate_address_and_output_from_the_earlier_run(planning):
    values = chosen(planning, retry_failed_of="manual__1")
    assert values == {
        "source": str(planning.source),
        "key": "sku",
        "limit": 7,
        "api_url": "https://api.example.com",
        "rate_limit": "5/second",
        "output": str(planning.output),
        "max_calls": None,
        "deadline": None,
        "encoding": "utf-8",
        "trim_keys": False,
        "expected": None,
        "dry_run": False,
        "retry_failed_of": "manual__1",
    }


def test_a_redrive_may_have_bounds_rate_address_and_output_of_its_own(planning):
    own = {"api_url": "http://other", "rate_limit": "none", "output": "o.json", "max_calls": 3, "deadline": "1 hour"}
    values = chosen(planning, **own)
    assert {name: values[name] for name in own} == own


@pytest.mark.parametrize(("name", "value", "theirs"), [("limit", 2, "7"), ("key", "id2", "sku"), ("source", "x", "")])
def test_a_redrive_of_other_rows_is_refused(planning, name, value, theirs):
    with pytest.raises(
        ConfigError, match=rf"^{name} is `{value}`; with retry_failed_of it is that run's, `.*{theirs}`"
    ):
        chosen(planning, **{name: value})
    assert chosen(planning, key="sku", limit=7)["key"] == "sku"
