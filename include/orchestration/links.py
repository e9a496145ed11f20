"""Addresses of Headrace's pages, for messages."""

from urllib.parse import urlsplit


def page_link(path: str) -> str:
    """The address at which Airflow shows one of the pages in its frame; `path` is the page's below `/headrace`.

    Below a prefix of Airflow's the prefix stands in it twice: in Airflow's own address, and in that of the frame.
    """
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/plugin/headrace{urlsplit(base).path}/headrace{path}"
