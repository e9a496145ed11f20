"""Where messages point to."""

import pytest

from include.orchestration.links import page_link


@pytest.mark.parametrize(
    ("base", "link"),
    [
        ("https://airflow.example.com", "https://airflow.example.com/plugin/headrace/headrace/csv/runs/a/b"),
        ("https://example.com/flow/", "https://example.com/flow/plugin/headrace/flow/headrace/csv/runs/a/b"),
    ],
)
def test_a_page_is_shown_in_airflow_s_frame(monkeypatch, base, link):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
    assert page_link("/csv/runs/a/b") == link
