"""What a run was asked for, from its context; Airflow is a stand-in."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from dags.csv_processing import PIPELINE
from include.common.errors import ConfigError
from include.enrichment.parameters import NAMES
from include.orchestration.enrichment.form import params
from include.orchestration.enrichment.job import make_job


@pytest.fixture(autouse=True)
def storage(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADRACE_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("HEADRACE_DEMO_API", "http://127.0.0.1:9")
    return tmp_path / "storage"


def context_of(**conf):
    """The context of a run that was started with `conf`, with the values that Airflow fills in."""
    filled = {name: param.value for name, param in params(PIPELINE).items()} | conf
    return {"dag_run": SimpleNamespace(conf=conf, run_id="manual__1"), "params": filled}


def job_of(**conf):
    return make_job(PIPELINE, context_of(**conf))[1]


def test_a_run_without_values_of_its_own_is_the_pipelines(storage):
    job = job_of()
    assert (job.key, job.limit, job.dry_run, job.max_calls, job.deadline) == ("id", None, False, None, None)
    assert job.output == storage / "output.json"
    assert (job.rate_limit, job.api_origin) == ("none", "the demo API")


def test_every_value_of_the_conf_reaches_the_job(tmp_path):
    conf = {
        "source": str(tmp_path / "in.csv"),
        "key": "sku",
        "limit": 10.0,
        "api_url": "https://api.example.com/items",
        "rate_limit": "5/second",
        "output": str(tmp_path / "o.json"),
        "max_calls": 7,
        "deadline": "2 minutes",
        "encoding": "cp1251",
        "trim_keys": True,
        "expected": "data.items",
        "dry_run": True,
        "retry_failed_of": None,
    }
    assert set(conf) == set(NAMES)
    job = job_of(**conf)
    assert (job.source, job.key, job.limit) == (tmp_path / "in.csv", "sku", 10)
    assert (job.api, job.api_url) == (conf["api_url"], conf["api_url"])
    assert (job.encoding, job.trim_keys, job.expected) == ("cp1251", True, "data.items")
    assert (job.rate_limit, job.output) == ("5/second", tmp_path / "o.json")
    assert (job.max_calls, job.deadline, job.dry_run, job.retry) == (7, 120.0, True, None)


def test_an_address_that_may_hold_a_key_is_not_kept():
    job = job_of(api_url="https://api.example.com/search?apikey=s3cret")
    assert (job.api, job.api_url) == ("https://api.example.com/search", None)


def test_an_unknown_parameter_is_named_with_those_that_there_are():
    with pytest.raises(ConfigError) as caught:
        job_of(ratelimit="5/second")
    assert str(caught.value).startswith("unknown parameter `ratelimit`; allowed are `source`, `key`, `limit`, ")


def test_a_pipelines_own_bounds_hold_unless_the_run_has_others():
    bounded = replace(PIPELINE, max_calls=500, deadline="50 minutes")
    filled = {name: param.value for name, param in params(bounded).items()}
    context = {"dag_run": SimpleNamespace(conf={}, run_id="manual__1"), "params": filled}
    job = make_job(bounded, context)[1]
    assert (job.max_calls, job.deadline) == (500, 3000.0)
    context["params"] = filled | {"max_calls": None}
    assert make_job(bounded, context)[1].max_calls is None
