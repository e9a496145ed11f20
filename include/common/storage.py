"""Places for files: a folder of this machine, or a bucket behind an fsspec URL such as `s3://bucket/headrace`.

A local place is a `pathlib.Path`, any other a `upath.UPath`; both read, write and list in the same words. What differs
is here: folders exist in a bucket only by what is in them, and nothing there is appended to or renamed.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import fsspec
from upath import UPath

from include.common.errors import ConfigError

Place = Path | UPath
COPY_BYTES = 1024 * 1024
# Bytes fetched at once where a distant file is read in order; fsspec's own 50 MB would be most of a task's memory.
READ_AHEAD = 4 * 1024 * 1024


def place(text: str, base: Path, name: str) -> Place:
    """The place that `text` names: a URL, or a path, which stands below `base` if it is relative.

    `name` is the setting, for the `ConfigError` of a URL that nothing here can open.
    """
    if "://" not in text:
        try:
            return base / Path(text).expanduser()
        except RuntimeError as error:
            raise ConfigError(f"{name} is `{text}`, which names no home folder that is known: {error}") from error
    scheme = text.partition("://")[0]
    if scheme in ("file", "local"):
        return base / text.partition("://")[2]
    try:
        fsspec.get_filesystem_class(scheme)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"{name} is `{text}`; allowed is a path, or a URL that fsspec opens (s3://…): {error}"
        ) from error
    # Listings are not remembered: other processes write beside this one.
    return UPath(text, use_listings_cache=False)


def is_local(where: Place) -> bool:
    """Whether `where` is on a file system of this machine."""
    return isinstance(where, Path)


def make_folder(where: Place) -> None:
    """Make a folder with those above it; in a bucket there is nothing to make."""
    if is_local(where):
        where.mkdir(parents=True, exist_ok=True)


def remove_folder(where: Place) -> None:
    """Remove a folder and all in it; nothing where there is none."""
    if isinstance(where, Path):
        if where.exists():
            shutil.rmtree(where)
    elif where.exists():
        where.fs.rm(where.path, recursive=True)


def listed(folder: Place, pattern: str = "*") -> list[Place]:
    """What stands in a folder, by name; nothing where there is no folder."""
    return sorted(folder.glob(pattern), key=lambda found: found.name)


def open_to_read(where: Place) -> BinaryIO:
    """A file to read in order, little of it in memory; `FileNotFoundError` where there is none."""
    if isinstance(where, Path):
        return where.open("rb")
    return where.open("rb", block_size=READ_AHEAD)


def upload(source: Path, target: Place) -> None:
    """Put a local file in its place, whole; a file that is there already is replaced."""
    if isinstance(target, Path):
        if source != target:
            shutil.copyfile(source, target)
    else:
        target.fs.put_file(str(source), target.path)


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
