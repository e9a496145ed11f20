"""JSON in files: whole or not at all."""

import pytest

from include.common.files import json_lines, read_json, write_json
from include.common.storage import listed

pytest_plugins = ["tests.s3"]


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path):
    return tmp_path if request.param == "local" else request.getfixturevalue("bucket")


def test_json_that_is_not_there_is_none(storage):
    assert read_json(storage / "nowhere" / "x.json") is None


def test_json_that_was_written_is_read(storage):
    write_json(storage / "deep" / "x.json", {"город": ["Москва", None, 2**80]})
    assert read_json(storage / "deep" / "x.json") == {"город": ["Москва", None, 2**80]}


def test_half_a_surrogate_pair_is_read_back(storage):
    write_json(storage / "x.json", {"error": "half an emoji \ud83d"})
    assert read_json(storage / "x.json") == {"error": "half an emoji \ud83d"}


def break_off(target):
    with json_lines(target) as write:
        write({"n": 1})
        raise ValueError("half way")


def test_lines_are_written_whole_or_not_at_all(storage):
    target = storage / "outputs.jsonl"
    with json_lines(target) as write:
        write({"n": 1})
        write({"n": 2})
    before = target.read_bytes()
    assert before.count(b"\n") == 2
    with pytest.raises(ValueError, match="half way"):
        break_off(target)
    assert target.read_bytes() == before
    assert [path.name for path in listed(storage)] == ["outputs.jsonl"]


def test_json_for_people_is_utf_8_and_readable(tmp_path):
    write_json(tmp_path / "x.json", {"город": "Москва"})
    assert (tmp_path / "x.json").read_bytes() == '{\n  "город": "Москва"\n}\n'.encode()


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": 1\n}\n'
