"""JSON text, exact."""

import json
from typing import Any


def decode(text: bytes) -> Any:
    return json.loads(text)


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()
