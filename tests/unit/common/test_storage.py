"""Places for files, here and in buckets."""

import errno
from pathlib import Path, PurePath

import pytest
from botocore.exceptions import EndpointConnectionError
from upath import UPath

from include.common.errors import ConfigError
from include.common.files import read_json
from include.common.storage import (
    exists,
    is_local,
    listed,
    make_folder,
    open_to_read,
    place,
    remove_file,
    remove_folder,
    scratch,
    upload,
)

pytest_plugins = ["tests.s3"]


@pytest.fixture(params=["local", "s3"])
def root(request, tmp_path):
    return tmp_path if request.param == "local" else request.getfixturevalue("bucket")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data/output.json", "/project/data/output.json"),
        ("/data/output.json", "/data/output.json"),
        ("../output.json", "/project/../output.json"),
        ("file:///data/output.json", "/data/output.json"),
        ("file://data/output.json", "/project/data/output.json"),
        ("local:///data/output.json", "/data/output.json"),
        ("мои данные/{id}.json", "/project/мои данные/{id}.json"),
    ],
)
def test_a_path_is_taken_from_the_base(text, expected):
    found = place(text, Path("/project"), "output")
    assert (found, is_local(found)) == (Path(expected), True)


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert place("~/output.json", Path("/project"), "output") == Path("/home/me/output.json")


def test_the_home_folder_of_nobody_is_a_configuration_error_with_the_setting():
    with pytest.raises(ConfigError, match=r"^HEADRACE_STORAGE is `~no-such-user/x`, which names no home folder"):
        place("~no-such-user/x", Path("/project"), "HEADRACE_STORAGE")


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/deep/a b.json", "memory://x/{id}.json"])
def test_a_url_keeps_its_form(url):
    found = place(url, Path("/project"), "output")
    assert not is_local(found)
    assert str(found).removesuffix("/") == url


@pytest.mark.parametrize("url", ["nosuch://bucket/x", "S3 ://x", "://x", "s3://", "s3:///x"])
def test_a_url_that_nothing_opens_is_a_configuration_error_with_the_setting(url):
    with pytest.raises(ConfigError) as caught:
        place(url, Path("/project"), "HEADRACE_STORAGE")
    assert str(caught.value).startswith(f"HEADRACE_STORAGE is `{url}`; allowed is a path, or a URL that fsspec opens")


def test_what_another_process_writes_is_seen_at_once(s3):
    name = s3.make_bucket()
    here = place(f"s3://{name}/runs", Path("/"), "storage")
    assert listed(here) == []
    UPath(f"s3://{name}/runs/x.json", skip_instance_cache=True).write_bytes(b"{}")
    assert [path.name for path in listed(here)] == ["x.json"]
    UPath(f"s3://{name}/runs/x.json", skip_instance_cache=True).unlink()
    assert listed(here) == []
    assert not (here / "x.json").exists()


def test_a_large_file_goes_to_a_bucket_in_small_parts(bucket, tmp_path, monkeypatch):
    sent = []
    call = type(bucket.fs)._call_s3

    async def count(filesystem, method, *given, **named):
        sent.append((method, len(named.get("Body", b""))))
        return await call(filesystem, method, *given, **named)

    monkeypatch.setattr(type(bucket.fs), "_call_s3", count)
    content = bytes(range(256)) * 4096 * 20
    (tmp_path / "x").write_bytes(content)
    upload(tmp_path / "x", bucket / "x")
    assert (bucket / "x").read_bytes() == content
    assert [size for method, size in sent if method == "upload_part"] == [8 << 20, 8 << 20, 4 << 20]


def test_a_bucket_itself_can_be_the_place(s3):
    here = place(f"s3://{s3.make_bucket()}", Path("/"), "storage")
    (here / "runs" / "x.json").write_bytes(b"{}")
    assert [path.name for path in listed(here / "runs")] == ["x.json"]
    assert str(listed(here)[0]).endswith("/runs")


def test_what_stands_in_a_folder_is_listed_by_name(root):
    make_folder(root / "deep")
    for name in ("b.json", "a.json", "c.txt", "Ё.json", "a b+c@d=e.json"):
        (root / "deep" / name).write_bytes(b"")
    assert [path.name for path in listed(root / "deep", "*.json")] == ["a b+c@d=e.json", "a.json", "b.json", "Ё.json"]
    assert len(listed(root / "deep")) == 5


def test_a_folder_lists_what_is_in_it_and_not_what_is_below(root):
    make_folder(root / "deep" / "below")
    (root / "deep" / "x.json").write_bytes(b"")
    (root / "deep" / "below" / "y.json").write_bytes(b"")
    assert [path.name for path in listed(root / "deep")] == ["below", "x.json"]
    assert [path.name for path in listed(root / "deep", "*.json")] == ["x.json"]


def test_a_folder_that_is_not_there_lists_nothing(root):
    assert listed(root / "nowhere") == []


def test_a_folder_is_removed_with_all_that_is_in_it(root):
    make_folder(root / "run" / "segments")
    make_folder(root / "run 2")
    for name in ("run/plan.json", "run/segments/1.jsonl", "run 2/plan.json"):
        (root / name).write_bytes(b"{}")
    remove_folder(root / "run")
    assert [path.name for path in listed(root)] == ["run 2"]
    assert (root / "run 2" / "plan.json").read_bytes() == b"{}"


def test_a_folder_that_is_not_there_can_be_removed(root):
    remove_folder(root / "nowhere")
    assert not (root / "nowhere").exists()


def test_a_folder_of_more_objects_than_one_answer_names_is_removed_whole(s3, bucket):
    for number in range(1005):
        s3.put(bucket / "run" / f"{number:04d}", b"")
    assert len(listed(bucket / "run")) == 1005
    remove_folder(bucket / "run")
    assert listed(bucket / "run") == []


def test_a_file_is_read_in_order(root):
    content = bytes(range(256)) * 1000
    (root / "x").write_bytes(content)
    with open_to_read(root / "x") as stream:
        assert [stream.read(3), stream.readline(), stream.read()] == [
            content[:3],
            content[3 : content.index(b"\n") + 1],
            content[content.index(b"\n") + 1 :],
        ]


def test_a_file_larger_than_what_is_read_ahead_is_read_whole(bucket):
    lines = [b"%07d" % number + b"x" * 992 + b"\n" for number in range(9_000)]  # 9 MB
    (bucket / "x").write_bytes(b"".join(lines))
    with open_to_read(bucket / "x") as stream:
        assert list(stream) == lines


def test_a_file_can_be_read_from_any_place(root):
    (root / "x").write_bytes(b"first\nsecond\nthird\n")
    with open_to_read(root / "x") as stream:
        stream.seek(6)
        assert stream.readline() == b"second\n"


def test_a_file_that_is_not_there_cannot_be_opened(root):
    with pytest.raises(FileNotFoundError):
        open_to_read(root / "nowhere" / "x").close()


def test_a_file_is_uploaded_to_its_place(root, tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "x"
    for content in (b"old and long", b"new"):
        source.write_bytes(content)
        upload(source, root / "y")
        assert (root / "y").read_bytes() == content


def test_a_file_that_is_in_its_place_already_stays(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    upload(tmp_path / "x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"content"


def test_what_is_made_in_a_scratch_folder_stands_in_its_place_afterwards(root):
    with scratch(root) as work:
        assert isinstance(work, PurePath)
        (work / "rows.jsonl").write_bytes(b"rows")
        (work / "rejects.jsonl").write_bytes(b"")
    assert [(path.name, path.read_bytes()) for path in listed(root)] == [
        ("rejects.jsonl", b""),
        ("rows.jsonl", b"rows"),
    ]


def test_the_scratch_folder_of_a_local_place_is_the_place(tmp_path):
    with scratch(tmp_path) as work:
        assert work == tmp_path


def fail_in_scratch(where) -> Path:
    with scratch(where) as work:
        (work / "rows.jsonl").write_bytes(b"half")
        raise ValueError(str(work))


def test_a_scratch_folder_that_is_left_by_an_error_is_not_uploaded_and_gone(bucket):
    with pytest.raises(ValueError, match="headrace-") as caught:
        fail_in_scratch(bucket)
    assert listed(bucket) == []
    assert not Path(str(caught.value)).exists()


def test_the_scratch_folder_is_gone_afterwards(bucket):
    with scratch(bucket) as work:
        (work / "x").write_bytes(b"")
    assert not work.exists()


def lose(bucket, monkeypatch):
    """From here on the server is not reached; after the library's own tries, which take no time here."""

    async def lost(*_, **__):
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    monkeypatch.setattr(type(bucket.fs), "_call_s3", lost)


@pytest.mark.parametrize(
    "reach",
    [
        exists,
        listed,
        open_to_read,
        read_json,
        remove_file,
        remove_folder,
        lambda where: upload(Path(__file__), where),
    ],
)
def test_a_bucket_that_is_not_reached_is_an_os_error_with_its_place(bucket, monkeypatch, reach):
    lose(bucket, monkeypatch)
    with pytest.raises(OSError, match="EndpointConnectionError: Could not connect") as caught:
        reach(bucket / "x.json")
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(bucket / "x.json"))


def test_a_bucket_that_is_lost_while_a_file_is_read_is_an_os_error_with_its_place(bucket, monkeypatch):
    (bucket / "x").write_bytes(b"line\n" * 2_000_000)  # more than is read ahead
    with open_to_read(bucket / "x") as stream:
        assert stream.readline() == b"line\n"
        lose(bucket, monkeypatch)
        with pytest.raises(OSError, match="EndpointConnectionError") as caught:
            stream.read()
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(bucket / "x"))


def test_a_file_is_removed_and_one_that_is_not_there_may_be(root):
    (root / "x").write_bytes(b"")
    assert exists(root / "x")
    for _ in range(2):
        remove_file(root / "x")
        assert not exists(root / "x")
