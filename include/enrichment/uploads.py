"""Files that people give for runs, kept in the storage root under names that their content makes."""

import asyncio
import hashlib
import os
import re
import secrets
import stat
import tempfile
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from include.common.errors import BadInputError, PermanentError, TransientError
from include.common.files import NEVER, sync_folder
from include.common.storage import COPY_BYTES, Place, make_folder, open_to_read, reaching, upload
from include.common.text import shown

UPLOADS = "uploads"
MB = 1024 * 1024
# Of a name's first part: with what follows it, no file system's limit of 255 bytes is near.
STEM = 60
STEM_BYTES = 120
# Hexadecimal digits of the SHA-256.
DIGITS = 12
# Seconds after which a file that nobody writes to any more is left from a process that was killed.
LEFT = 24 * 3600

_NAME = re.compile(rf"[\w.-]{{1,{STEM}}}-[0-9a-f]{{{DIGITS}}}\.csv")

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Upload:
    """A file that was received: `<stem of the name it came with>-<digits of its SHA-256>.csv`, and its size."""

    name: str
    bytes: int

    @property
    def source(self) -> str:
        """What a run's `source` is given: relative to the storage root."""
        return f"{UPLOADS}/{self.name}"


class Uploads:
    """The uploads of a storage root. A file may have `most_bytes`."""

    def __init__(self, storage: Place, most_bytes: int) -> None:
        self._folder = storage / UPLOADS
        self._most = most_bytes

    async def receive(
        self, filename: str, parts: AsyncIterator[bytes], check: Callable[[Path, str], T]
    ) -> tuple[Upload, T]:
        """Store what `parts` bring, once `check` has taken the whole file (its path, and its name for messages).

        Whatever goes wrong leaves nothing. Raises `BadInputError` for a file that is too large, `TransientError` where
        it cannot be written now.
        """
        title = shown(_last(filename)) or "the file"
        part = _Part(self._folder, title)
        try:
            await _in_thread(part.begin)
            block = bytearray()
            size = 0
            async for some in parts:
                size += len(some)
                if size > self._most:
                    raise BadInputError(
                        f"`{title}` is larger than {self._most // MB} MB, the limit that HEADRACE_UPLOAD_MB sets"
                    )
                block += some
                if len(block) >= COPY_BYTES:
                    await _in_thread(part.write, block)
                    block = bytearray()
            digest = await _in_thread(part.end, block)
            checked = await _in_thread(check, part.path, title)
            stored = Upload(f"{stem(filename)}-{digest[:DIGITS]}.csv", size)
            await _in_thread(part.put, stored.name)
            return stored, checked
        finally:
            await _in_thread(part.discard)

    def find(self, name: str) -> Upload:
        """The upload of that name; `BadInputError` where there is none."""
        if _NAME.fullmatch(name):
            with self._reaching(name):
                found = (self._folder / name).stat()
            if stat.S_ISREG(found.st_mode):
                return Upload(name, found.st_size)
        raise _missing(name)

    @contextmanager
    def opened(self, name: str, most: int | None = None) -> Iterator[Path]:
        """A local file to read: the upload itself, or, while the block lasts, a copy of its first `most` bytes."""
        size = self.find(name).bytes
        where = self._folder / name
        if isinstance(where, Path):
            yield where
            return
        with tempfile.NamedTemporaryFile(prefix="headrace-", suffix=".csv") as copy:
            left = size if most is None else min(size, most)
            with self._reaching(name), open_to_read(where) as stream:
                while left and (block := stream.read(min(left, COPY_BYTES))):
                    copy.write(block)
                    left -= len(block)
                copy.flush()
            yield Path(copy.name)

    @contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        try:
            with reaching(self._folder):
                yield
        except FileNotFoundError as error:
            raise _missing(name) from error
        except OSError as error:
            raise TransientError(
                f"the upload `{name}` in `{self._folder}` cannot be read: {error.strerror or error}"
            ) from error


def _missing(name: str) -> BadInputError:
    return BadInputError(f"there is no upload `{shown(name)}`; upload the file again")


class _Part:
    """An upload under way: a local file, in the uploads' folder or on its way to a bucket, gone after `discard`."""

    def __init__(self, folder: Place, title: str) -> None:
        self._folder = folder
        self._title = title
        beside = folder if isinstance(folder, Path) else Path(tempfile.gettempdir())
        self.path = beside / f"headrace-{secrets.token_hex(8)}.part"
        self._digest = hashlib.sha256()
        self._stream: BinaryIO | None = None

    def begin(self) -> None:
        with self._writing():
            make_folder(self._folder)
            _remove_left(self.path.parent)
            # What passes through a folder of everybody is nobody's business.
            mode = 0o666 if isinstance(self._folder, Path) else 0o600
            self._stream = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")

    def write(self, block: bytes | bytearray) -> None:
        assert self._stream is not None
        with self._writing():
            self._stream.write(block)
        self._digest.update(block)

    def end(self, block: bytes | bytearray) -> str:
        """Write the last block; the SHA-256 of the whole."""
        assert self._stream is not None
        self.write(block)
        with self._writing():
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
        return self._digest.hexdigest()

    def put(self, name: str) -> None:
        """Show it under its name; the same file, sent before, is replaced."""
        with self._writing():
            if isinstance(self._folder, Path):
                self.path.replace(self._folder / name)
                sync_folder(self._folder)
            else:
                upload(self.path, self._folder / name)

    def discard(self) -> None:
        with suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        with suppress(OSError):
            self.path.unlink()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = PermanentError if error.errno in NEVER else TransientError
            raise kind(f"`{self._title}` cannot be stored in `{self._folder}`: {error.strerror or error}") from error


def stem(filename: str) -> str:
    """What an upload's name begins with: letters of any alphabet, digits, `-`, `_` and `.` of the one it came with."""
    name = re.sub(r"\.[^.]*$", "", unicodedata.normalize("NFC", _last(filename)))
    name = re.sub(r"[^\w.-]", "_", name).lstrip(".")[:STEM]
    return name.encode()[:STEM_BYTES].decode("utf-8", "ignore") or "upload"


def _last(filename: str) -> str:
    return re.split(r"[/\\]", filename)[-1].strip()


def _remove_left(folder: Path) -> None:
    for path in folder.glob("headrace-*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFT:
                path.unlink()


async def _in_thread(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """As `asyncio.to_thread`, but a cancellation waits for the work, which must not outlive the file that it writes."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *given, **named))
    try:
        return await asyncio.shield(task)
    finally:
        if not task.done():
            await asyncio.wait([task])
