"""A client of the demo API's own page: what it counted, and how it is to misbehave."""

from typing import Any

import httpx


class Demo:
    """The demo API at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def behave(self, **how: Any) -> None:
        """Set latency, faults and quota; counts start anew."""
        httpx.put(f"{self.url}/_demo", json=how, trust_env=False).raise_for_status()

    def stats(self, **wanted: int) -> dict[str, Any]:
        """The counts; `keys=0` without those of each key, `starts=1` with the moments of the calls."""
        return httpx.get(f"{self.url}/_demo", params=wanted, trust_env=False).json()
