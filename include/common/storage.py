"""Places for files: a folder of this machine, or a bucket behind an fsspec URL such as `s3://bucket/headrace`.

A local place is a `pathlib.Path`, any other a `upath.UPath`; both read, write and list in the same words. What differs
is here: folders exist in a bucket only by what is in them, and nothing there is appended to or renamed.
"""

import errno
import io
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from upath import UPath

from include.common.errors import ConfigError, HeadraceError

Place = Path | UPath
COPY_BYTES = 1024 * 1024
# Bytes fetched at once where a distant file is read in order; fsspec's own 50 MB would be most of a task's memory.
READ_AHEAD = 4 * 1024 * 1024
# Bytes of one part of a file that is uploaded to S3, which allows so many of them.
PART_BYTES = 8 * 1024 * 1024
MOST_PARTS = 10_000


def place(text: str, base: Path, name: str) -> Place:
    """The place that `text` names: a URL, or a path, which stands below `base` if it is relative.

    `name` is the setting, for the `ConfigError` of a URL that nothing here can open.
    """
    if "://" not in text:
        try:
            return base / Path(text).expanduser()
        except RuntimeError as error:
            raise ConfigError(f"{name} is `{text}`, which names no home folder that is known: {error}") from error
    scheme, _, rest = text.partition("://")
    if scheme in ("file", "local"):
        return base / rest.removeprefix("localhost")
    allowed = f"{name} is `{text}`; allowed is a path, or a URL that fsspec opens, such as s3://bucket/folder"
    if not scheme or not rest.strip("/") or (rest.startswith("/") and scheme != "memory"):
        raise ConfigError(allowed)
    try:
        fsspec.get_filesystem_class(scheme)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{allowed}: {error}") from error
    # Listings are not remembered: other processes write beside this one.
    return UPath(text, use_listings_cache=False)


def is_local(where: Place) -> bool:
    """Whether `where` is on a file system of this machine."""
    return isinstance(where, Path)


@contextmanager
def reaching(where: Place) -> Iterator[None]:
    """Whatever a bucket's library raises where it gets no further becomes an `OSError` that names the place."""
    try:
        yield
    except (OSError, HeadraceError):
        raise
    except Exception as error:  # each library has its own kinds
        if is_local(where):
            raise
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}", str(where)) from error


def exists(where: Place) -> bool:
    """Whether there is such a file or folder."""
    with reaching(where):
        return bool(where.exists())


def make_folder(where: Place) -> None:
    """Make a folder with those above it; in a bucket there is nothing to make."""
    if is_local(where):
        where.mkdir(parents=True, exist_ok=True)


def remove_file(where: Place) -> None:
    """Remove a file; nothing where there is none."""
    with reaching(where):
        where.unlink(missing_ok=True)


def remove_folder(where: Place) -> None:
    """Remove a folder and all in it; nothing where there is none."""
    if isinstance(where, Path):
        if where.exists():
            shutil.rmtree(where)
    else:
        with reaching(where):
            if where.exists():
                where.fs.rm(where.path, recursive=True)


def listed(folder: Place, pattern: str = "*") -> list[Place]:
    """What stands in a folder, by name; nothing where there is no folder."""
    with reaching(folder):
        return sorted(folder.glob(pattern), key=lambda found: found.name)


def open_to_read(where: Place) -> BinaryIO:
    """A file to read in order, little of it in memory; `FileNotFoundError` where there is none."""
    if isinstance(where, Path):
        return where.open("rb")
    with reaching(where):
        stream = where.open("rb", block_size=READ_AHEAD)
    return io.BufferedReader(_Distant(stream, where))


class _Distant(io.RawIOBase):
    """A file of a bucket, which may be lost at each read."""

    def __init__(self, stream: Any, where: Place) -> None:
        self._stream, self._where = stream, where

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        with reaching(self._where):
            return int(self._stream.readinto(buffer))

    def close(self) -> None:
        self._stream.close()
        super().close()


def upload(source: Path, target: Place) -> None:
    """Put a local file in its place, whole; a file that is there already is replaced."""
    if isinstance(target, Path):
        if source != target:
            shutil.copyfile(source, target)
    else:
        with reaching(target):
            target.fs.put_file(str(source), target.path, **_parts(source, target))


def _parts(source: Path, target: UPath) -> dict[str, int]:
    """How a file goes to a bucket: s3fs of itself would hold ten parts of 50 MB in memory, and each more than once."""
    if target.protocol not in ("s3", "s3a"):
        return {}
    return {"chunksize": max(PART_BYTES, math.ceil(source.stat().st_size / MOST_PARTS)), "max_concurrency": 2}


@contextmanager
def scratch(folder: Place) -> Iterator[Path]:
    """A local folder to make the files of `folder` in: itself, or one that is uploaded when the block ends well."""
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="headrace-") as name:
        yield Path(name)
        for path in sorted(Path(name).iterdir()):
            upload(path, folder / path.name)
