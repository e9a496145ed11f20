"""Files that are replaced whole."""

import errno
import os
import stat
from pathlib import Path

import pytest

from include.common import files
from include.common.errors import HeadraceError, PermanentError, TransientError
from include.common.files import replacing
from include.common.storage import listed, place

pytest_plugins = ["tests.s3"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def break_off(target):
    with replacing(target) as stream:
        stream.write(b"ne")
        raise ValueError("half way")


def test_the_new_content_replaces_the_old(tmp_path):
    target = tmp_path / "output.json"
    target.write_bytes(b"old")
    with replacing(target) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["output.json"]


def test_until_the_end_readers_see_the_old_content(tmp_path):
    target = tmp_path / "output.json"
    target.write_bytes(b"old")
    with replacing(target) as stream:
        stream.write(b"new" * 100_000)
        stream.flush()
        assert target.read_bytes() == b"old"


def test_a_reader_that_opened_the_old_content_reads_it_to_its_end(tmp_path):
    target = tmp_path / "output.json"
    target.write_bytes(b"old content")
    with target.open("rb", buffering=0) as reader:
        assert reader.read(3) == b"old"
        with replacing(target) as stream:
            stream.write(b"new")
        assert reader.read() == b" content"
    assert target.read_bytes() == b"new"


def test_an_error_leaves_the_old_content_and_no_rest(tmp_path):
    target = tmp_path / "output.json"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="half way"):
        break_off(target)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["output.json"]


def test_an_error_before_there_was_a_file_leaves_none(tmp_path):
    with pytest.raises(ValueError, match="half way"):
        break_off(tmp_path / "output.json")
    assert names(tmp_path) == []


def test_missing_folders_are_made(tmp_path):
    with replacing(tmp_path / "a" / "b" / "output.json") as stream:
        stream.write(b"new")
    assert (tmp_path / "a" / "b" / "output.json").read_bytes() == b"new"


def test_a_name_with_spaces_and_other_alphabets_works(tmp_path):
    target = tmp_path / "мои данные" / "итог 1.json"
    with replacing(target) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"new"


def test_a_folder_as_the_target_is_a_permanent_error_with_its_path(tmp_path):
    with pytest.raises(PermanentError, match=f"`{tmp_path}` is a folder"), replacing(tmp_path):
        pass


def test_a_file_in_place_of_a_folder_is_a_permanent_error_with_its_path(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    target = tmp_path / "file" / "output.json"
    with pytest.raises(PermanentError, match=f"`{target}` cannot be written"), replacing(target):
        pass


def test_a_system_that_refuses_the_write_is_a_transient_error_with_the_path():
    target = Path("/proc/headrace/output.json")
    with pytest.raises(TransientError, match=f"`{target}` cannot be written"), replacing(target):
        pass


def test_a_name_longer_than_a_name_may_be_is_an_error_with_the_path(tmp_path):
    with pytest.raises(HeadraceError, match="cannot be written"), replacing(tmp_path / ("x" * 300)):
        pass


def test_the_longest_name_that_a_file_may_have_works(tmp_path):
    target = tmp_path / ("語" * 85)  # 255 bytes
    with replacing(target) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"new"


def test_a_result_is_as_readable_as_any_file_of_this_process(tmp_path):
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "output.json") as stream:
            stream.write(b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "output.json").stat().st_mode) == 0o644


def test_the_umask_of_the_process_is_left_as_it_was(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "output.json") as stream:
            stream.write(b"new")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "output.json").stat().st_mode) == 0o640


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    link.symlink_to(real)
    with replacing(link) as stream:
        stream.write(b"new")
    assert (link.is_symlink(), real.read_text()) == (True, "new")


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(PermanentError, match="is not a regular file"), replacing(pipe):
        pass
    assert pipe.is_fifo()


def test_a_loop_of_links_is_an_error_with_its_path(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(PermanentError, match="loop"), replacing(loop):
        pass


def test_an_object_is_uploaded_whole(bucket):
    with replacing(bucket / "deep" / "output.json") as stream:
        stream.write(b"new" * 100_000)
        assert listed(bucket / "deep") == []
    assert (bucket / "deep" / "output.json").read_bytes() == b"new" * 100_000


def test_an_object_that_is_there_is_replaced(bucket):
    target = bucket / "output.json"
    for content in (b"old and long", b"new"):
        with replacing(target) as stream:
            stream.write(content)
    assert target.read_bytes() == b"new"


def test_an_error_leaves_the_old_object(bucket):
    target = bucket / "output.json"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="half way"):
        break_off(target)
    assert target.read_bytes() == b"old"


def test_an_error_before_there_was_an_object_leaves_none(bucket):
    with pytest.raises(ValueError, match="half way"):
        break_off(bucket / "output.json")
    assert listed(bucket) == []


def test_an_object_may_be_read_and_replaced_at_the_same_time(bucket):
    target = bucket / "output.json"
    target.write_bytes(b"old")
    with target.open("rb") as reader, replacing(target) as stream:
        stream.write(reader.read() + b" and new")
    assert target.read_bytes() == b"old and new"


def test_a_bucket_that_is_not_there_is_an_error_with_the_url(bucket):
    target = place("s3://no-such-bucket/output.json", Path("/"), "output")
    with (
        pytest.raises(
            HeadraceError,
            match=r"^`s3://no-such-bucket/output\.json` cannot be written: The specified bucket does not exist$",
        ),
        replacing(target) as stream,
    ):
        stream.write(b"new")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, PermanentError),
        (errno.EPERM, PermanentError),
        (errno.EIO, TransientError),
        (None, TransientError),
    ],
)
def test_an_upload_that_is_refused_says_whether_trying_again_may_help(in_bucket, monkeypatch, number, kind):
    def refuse(source, target):
        raise OSError(number, "refused") if number else OSError("refused")

    monkeypatch.setattr(files, "upload", refuse)
    with pytest.raises(kind, match=r"^`memory://.*/output\.json` cannot be written: refused$"), replacing(in_bucket):
        pass


@pytest.fixture
def in_bucket(tmp_path):
    return place(f"memory://{tmp_path.name}/output.json", Path("/"), "output")
