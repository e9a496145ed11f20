"""Where files are: the storage root, sources, outputs."""

import pytest

from include.common.errors import BadInputError, ConfigError
from include.orchestration import paths


def test_relative_paths_stand_below_the_project():
    assert paths.located("data/input.csv", "source") == paths.PROJECT / "data" / "input.csv"
    assert str(paths.located("/tmp/ä b.csv", "source")) == "/tmp/ä b.csv"


def test_a_relative_output_stands_below_the_storage_root(monkeypatch, tmp_path):
    assert paths.output("output.json") == paths.PROJECT / "data/output.json"
    monkeypatch.setenv("HEADRACE_STORAGE", str(tmp_path))
    assert paths.output("results/{symbol}.json") == tmp_path / "results/{symbol}.json"
    assert str(paths.output("/srv/out.json")) == "/srv/out.json"
    monkeypatch.setenv("HEADRACE_STORAGE", "s3://bucket/headrace")
    assert str(paths.output("output.json")) == "s3://bucket/headrace/output.json"
    assert str(paths.output("s3://other/output.json")) == "s3://other/output.json"


def test_a_relative_source_is_looked_for_in_the_storage_root_then_in_the_bundle(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_STORAGE", str(tmp_path))
    assert paths.source("data/input.csv") == paths.PROJECT / "data/input.csv"
    (tmp_path / "data").mkdir()
    (tmp_path / "data/input.csv").touch()
    assert paths.source("data/input.csv") == tmp_path / "data/input.csv"
    assert paths.source(f"file://{tmp_path}/x.csv") == tmp_path / "x.csv"
    with pytest.raises(BadInputError, match=f"^source `my.csv` does not exist .looked for `{tmp_path}/my.csv` and `"):
        paths.source("my.csv")


def test_a_storage_root_that_nothing_can_open_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setenv("HEADRACE_STORAGE", "nosuch://bucket/x")
    with pytest.raises(ConfigError, match="HEADRACE_STORAGE is `nosuch://bucket/x`"):
        paths.storage()
