"""Output whose reader may leave, as in `make run | head`: the run goes on, and what follows is written to nobody."""

import io
import sys
from typing import Any


class _Pipe(io.FileIO):
    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            return memoryview(content).nbytes


def outlive_readers() -> None:
    """Let standard output and standard error be written to from now on whether somebody reads them or not."""
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def _lasting(stream: Any) -> io.TextIOWrapper:
    stream.flush()
    pipe = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(pipe, stream.encoding, stream.errors, line_buffering=True)
