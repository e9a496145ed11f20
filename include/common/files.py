"""Files that a reader sees whole or not at all, and JSON in them."""

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from include.common.errors import PermanentError, TransientError
from include.common.jsontext import encode_line
from include.common.storage import Place, reaching, upload

# What no later try changes: something else in the way, a name that no file can have, no right to write.
NEVER = (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def replacing(target: Place) -> Iterator[BinaryIO]:
    """Write a file that replaces `target` whole on success; on any error `target` stays as it was.

    Locally it is written beside and renamed; for a bucket, which shows an object only whole, it is made here and
    uploaded. Raises `PermanentError` where `target` cannot be a file, `TransientError` where the system refuses the
    write (a full disk, a lost mount), each naming the path.
    """
    with _renaming(target) if isinstance(target, Path) else _uploading(target) as stream:
        yield stream


@contextmanager
def _uploading(target: Place) -> Iterator[BinaryIO]:
    try:
        with tempfile.NamedTemporaryFile(prefix="headrace-") as stream:
            yield stream  # type: ignore[misc]
            stream.flush()
            upload(Path(stream.name), target)
    except OSError as error:
        kind = PermanentError if error.errno in NEVER else TransientError
        raise kind(f"`{target}` cannot be written: {error.strerror or error}") from error


@contextmanager
def _renaming(target: Path) -> Iterator[BinaryIO]:
    try:
        target = target.resolve()  # through a link: what it leads to is written, the link stays
        if target.exists() and not target.is_file():
            what = "is a folder" if target.is_dir() else "is not a regular file"
            raise PermanentError(f"`{target}` {what}; expected the path of a file to write")
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".headrace-", dir=target.parent)
    except RuntimeError as error:
        raise PermanentError(f"`{target}` cannot be written: {error}") from error
    except OSError as error:
        kind = PermanentError if error.errno in NEVER else TransientError
        raise kind(f"`{target}` cannot be written: {error.strerror}") from error
    beside = Path(name)
    try:
        # mkstemp makes the file private; a result is as readable as any file this process makes.
        os.fchmod(descriptor, 0o666 & ~_umask())
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise TransientError(f"`{target}` cannot be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def sync_folder(folder: Path) -> None:
    """Have the folder's new entry on the disk as well: a power cut may otherwise bring the old file back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def read_json(path: Place) -> dict[str, Any] | None:
    """What `write_json` wrote, None where there is no such file."""
    try:
        with reaching(path):
            return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None


def write_json(path: Place, value: object) -> None:
    """A JSON file of a person's reading size, whole or not at all."""
    with replacing(path) as stream:
        text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        stream.write(text.encode("utf-8", "backslashreplace"))  # half a surrogate pair becomes its JSON escape


@contextmanager
def json_lines(path: Place) -> Iterator[Callable[[object], None]]:
    """Write JSON lines, whole or not at all; the block gets what writes one."""
    with replacing(path) as stream:

        def write(value: object) -> None:
            stream.write(encode_line(value))

        yield write
