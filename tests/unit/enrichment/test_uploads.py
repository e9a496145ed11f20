"""Receiving files for runs: whole under their name, or nothing of them."""

import asyncio
import errno
import hashlib
import os
import stat
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.common.errors import BadInputError, PermanentError, TransientError
from include.common.storage import listed
from include.enrichment import uploads as module
from include.enrichment.uploads import MB, STEM, STEM_BYTES, Upload, Uploads, stem

pytest_plugins = ["tests.s3"]

CSV = b"id,name\n1,Anna\n"
DIGEST = hashlib.sha256(CSV).hexdigest()[:12]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where files lie on their way to a bucket."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(params=["local", "memory", "s3"])
def storage(request, tmp_path, temporary):
    if request.param == "local":
        return tmp_path / "storage"
    return request.getfixturevalue("in_memory" if request.param == "memory" else "bucket")


@pytest.fixture
def stored(storage, temporary):
    """What there is after all: the files of the storage root, and those on their way."""

    def names():
        return [path.name for path in [*listed(storage / "uploads"), *temporary.iterdir()]]

    return names


async def parts(*blocks):
    for block in blocks:
        yield block
        await asyncio.sleep(0)


def size_of(path, name):
    return path.stat().st_size


async def receive(storage, *blocks, name="my file.csv", most=MB, check=size_of):
    return await Uploads(storage, most).receive(name, parts(*blocks), check)


async def test_a_file_is_stored_under_its_name_and_its_content(storage, stored):
    upload, checked = await receive(storage, CSV[:5], CSV[5:])
    assert upload == Upload(f"my_file-{DIGEST}.csv", len(CSV))
    assert upload.source == f"uploads/my_file-{DIGEST}.csv"
    assert checked == len(CSV)
    assert (storage / upload.source).read_bytes() == CSV
    assert stored() == [upload.name]


async def test_the_check_sees_the_whole_file_before_it_is_stored_and_the_name_as_it_is_shown(storage, stored):
    def check(path, name):
        return path.read_bytes(), name, [found for found in stored() if not found.endswith(".part")]

    _, seen = await receive(storage, CSV, name="C:\\data\\<b>\x1b[1m.csv", check=check)
    assert seen == (CSV, "<b>\\x1b[1m.csv", [])


async def test_the_same_file_twice_is_one(storage, stored):
    first, _ = await receive(storage, CSV)
    second, _ = await receive(storage, CSV[:9], CSV[9:])
    assert (first, stored()) == (second, [first.name])


async def test_another_content_of_the_same_name_is_another_upload(storage, stored):
    first, _ = await receive(storage, CSV)
    second, _ = await receive(storage, CSV + b"2,Boris\n")
    assert sorted(stored()) == sorted([first.name, second.name])


async def test_a_file_of_just_the_limit_is_taken_and_a_byte_more_is_not(storage, stored):
    await receive(storage, b"x" * MB, b"x" * MB, most=2 * MB)
    before = stored()
    with pytest.raises(BadInputError, match=r"^`my file\.csv` is larger than 2 MB, the limit that HEADRACE_UPLOAD_MB"):
        await receive(storage, b"x" * MB, b"x" * MB, b"x", most=2 * MB)
    assert stored() == before


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), RuntimeError("gone"), asyncio.CancelledError()])
async def test_an_upload_that_is_broken_off_leaves_nothing(storage, stored, error):
    async def broken():
        yield b"x" * 2 * MB
        raise error

    with pytest.raises(type(error)) as caught:
        await Uploads(storage, 9 * MB).receive("x.csv", broken(), size_of)
    assert (caught.value, stored()) == (error, [])


@pytest.mark.parametrize("during", ["write", "end", "check"])
async def test_a_cancellation_waits_for_the_work_under_way_and_leaves_nothing(storage, stored, monkeypatch, during):
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    ended = []

    def slowly(work):
        def slow(*given):
            loop.call_soon_threadsafe(begun.set)
            time.sleep(0.05)
            found = work(*given)
            ended.append(during)
            return found

        return slow

    if during != "check":
        monkeypatch.setattr(module._Part, during, slowly(getattr(module._Part, during)))
    check = slowly(size_of) if during == "check" else size_of
    task = asyncio.ensure_future(receive(storage, b"x" * MB, b"x", most=9 * MB, check=check))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ended, stored()) == ([during], [])


async def test_a_file_that_the_check_refuses_is_not_stored(storage, stored):
    def refuse(path, name):
        raise BadInputError(f"`{name}` is no CSV")

    with pytest.raises(BadInputError, match=r"^`my file\.csv` is no CSV$"):
        await receive(storage, CSV, check=refuse)
    assert stored() == []


async def test_a_full_disk_is_transient_and_leaves_nothing(storage, stored, monkeypatch):
    real = os.fdopen

    def full(*given, **named):
        stream = real(*given, **named)
        monkeypatch.setattr(os, "fdopen", real)
        return _Full(stream)

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(
        TransientError, match=r"^`my file\.csv` cannot be stored in `.*uploads/?`: No space left on dev"
    ):
        await receive(storage, b"x" * MB, b"x" * MB, most=9 * MB)
    assert stored() == []


class _Full:
    """A file on a disk with room for half a block, which even closing finds full."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, block):
        self._stream.write(block[: len(block) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self):
        self._stream.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_storage_root_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "storage").write_text("a file")
    with pytest.raises(PermanentError, match=r"^`my file\.csv` cannot be stored in `.*/storage/uploads`: "):
        await receive(tmp_path / "storage", CSV)


async def test_a_bucket_that_refuses_is_transient_and_leaves_nothing(in_memory, temporary, monkeypatch):
    def refuse(*_given, **_named):
        raise RuntimeError("SlowDown")

    monkeypatch.setattr(in_memory.fs, "put_file", refuse)
    with pytest.raises(TransientError, match=r"cannot be stored in `memory://.*`: RuntimeError: SlowDown$"):
        await receive(in_memory, CSV)
    assert (list(temporary.iterdir()), listed(in_memory / "uploads")) == ([], [])


def test_a_bucket_that_does_not_answer_is_transient(in_memory, monkeypatch):
    def refuse(*_given, **_named):
        raise RuntimeError("SlowDown")

    monkeypatch.setattr(in_memory.fs, "info", refuse)
    name = f"x-{DIGEST}.csv"
    with pytest.raises(TransientError, match=rf"^the upload `{name}` in `memory://.*` cannot be read: RuntimeError: S"):
        Uploads(in_memory, MB).find(name)


async def test_an_upload_that_is_removed_before_it_is_opened_is_said(in_memory, monkeypatch):
    upload, _ = await receive(in_memory, CSV)
    uploads = Uploads(in_memory, MB)
    found = uploads.find(upload.name)
    (in_memory / upload.source).unlink()
    monkeypatch.setattr(uploads, "find", lambda name: found)
    with pytest.raises(BadInputError, match="there is no upload"), uploads.opened(upload.name):
        pass


async def test_what_a_killed_process_left_is_removed_a_day_later(storage, stored, temporary, tmp_path):
    await receive(storage, CSV)
    beside = temporary if "://" in str(storage) else tmp_path / "storage" / "uploads"
    for name, hours in (("headrace-old.part", 25), ("headrace-new.part", 23), ("mine.part", 25)):
        (beside / name).write_bytes(b"x")
        os.utime(beside / name, (time.time() - hours * 3600,) * 2)
    upload, _ = await receive(storage, CSV)
    assert set(stored()) == {upload.name, "headrace-new.part", "mine.part"}


async def test_an_upload_is_as_readable_as_other_files_and_private_on_its_way_to_a_bucket(tmp_path, in_memory):
    def mode(path, name):
        return stat.S_IMODE(path.stat().st_mode)

    (tmp_path / "plain").touch()
    _, local = await receive(tmp_path, CSV, check=mode)
    _, on_its_way = await receive(in_memory, CSV, check=mode)
    assert (local, on_its_way) == (mode(tmp_path / "plain", ""), 0o600)


async def test_memory_does_not_grow_with_the_file(tmp_path):
    async def peak(megabytes):
        block = b"x" * 65536
        tracemalloc.start()
        await receive(tmp_path, *[block] * (megabytes * 16), most=99 * MB)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    await peak(1)  # with what is made only once
    assert await peak(50) < 4 * MB


async def test_an_upload_is_found_and_opened_by_its_name(storage):
    upload, _ = await receive(storage, CSV)
    uploads = Uploads(storage, MB)
    assert uploads.find(upload.name) == upload
    with uploads.opened(upload.name) as path:
        assert path.read_bytes() == CSV


async def test_the_beginning_of_an_upload_is_a_copy_that_is_removed_where_the_upload_is_not_local(
    storage, stored, tmp_path
):
    content = bytes(range(256)) * 4096 * 3
    upload, _ = await receive(storage, content, most=9 * MB)
    with Uploads(storage, MB).opened(upload.name, most=2 * MB + 5) as path:
        local = path == tmp_path / "storage" / "uploads" / upload.name
        assert path.read_bytes() == (content if local else content[: 2 * MB + 5])
    assert stored() == [upload.name]


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "/etc/passwd", "..\\x", "x\0", "\udc80", "a" * 300, "<b>"),
        *(f"../uploads/x-{DIGEST}.csv", f"/x-{DIGEST}.csv", f"sub/x-{DIGEST}.csv", f"x-{DIGEST}.csv\n"),
        *(f".x-{DIGEST}.csv", f"-{DIGEST}.csv", f"{'a' * 61}-{DIGEST}.csv", f"x-{DIGEST}.part", f"y-{DIGEST}.csv"),
    ],
)
async def test_nothing_else_is_found(storage, name):
    await receive(storage, CSV, name="x.csv")
    uploads = Uploads(storage, MB)
    for find in (uploads.find, lambda name: uploads.opened(name).__enter__()):
        with pytest.raises(BadInputError, match=r"^there is no upload `.*`; upload the file again$"):
            find(name)


def test_a_folder_of_an_uploads_name_is_no_upload(tmp_path):
    (tmp_path / "uploads" / f"x-{DIGEST}.csv").mkdir(parents=True)
    with pytest.raises(BadInputError, match="there is no upload"):
        Uploads(tmp_path, MB).find(f"x-{DIGEST}.csv")


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("orders.csv", "orders"),
        ("v1.2.csv", "v1.2"),
        ("C:\\Мои документы\\заказы 2026.CSV", "заказы_2026"),
        ("и\u0306од.csv", "йод"),  # as macOS writes it
        ("../../etc/passwd", "passwd"),
        ("<script>alert(1)</script>.csv", "script_"),
        ("<b>x.csv", "_b_x"),
        (".htaccess.csv", "htaccess"),
        ("...", "upload"),
        (".csv", "upload"),
        ("", "upload"),
        ("a\0b.csv", "a_b"),
        ("x" * 300, "x" * STEM),
        ("字" * 300 + ".csv", "字" * (STEM_BYTES // 3)),
    ],
)
def test_the_stem_comes_from_the_files_name(filename, expected):
    assert stem(filename) == expected


@given(st.text(max_size=400))
@example("\udc80.csv")
@example("/")
@example("\\")
@example("~")
def test_whatever_a_file_is_called_its_upload_is_found_again(filename):
    with tempfile.TemporaryDirectory() as folder:
        upload, _ = asyncio.run(receive(Path(folder), CSV, name=filename))
        assert Uploads(Path(folder), MB).find(upload.name) == upload
        assert [path.name for path in Path(folder).rglob("*")] == ["uploads", upload.name]
        assert len(upload.name) <= STEM + 17
        assert len(upload.name.encode()) <= STEM_BYTES + 17
