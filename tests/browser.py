"""A headless Chromium, the system's or the one that Playwright installed, and pictures of what it shows."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000  # ms
# What of the window a page fills; all of it where a dialog stands in its middle.
SHOWN = """() => {
  const height = document.querySelector("dialog[open]") ? innerHeight : document.body.getBoundingClientRect().height;
  return { width: innerWidth, height: Math.min(innerHeight, Math.ceil(height)) };
}"""


def find_browser(playwright: Playwright) -> str | None:
    """The path of a Chromium, if there is one."""
    for name in ("chromium", "google-chrome"):
        if found := shutil.which(name):
            return found
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def chromium() -> Iterator[Browser | None]:
    """A browser for the time of the block; None where there is no Chromium."""
    with sync_playwright() as playwright:
        path = find_browser(playwright)
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS) if path else None
        yield browser
        if browser:
            browser.close()


def open_page(browser: Browser, web: str) -> Page:
    """A page that nobody is logged in to."""
    page = browser.new_context(base_url=web, viewport={"width": 1400, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    return page


def inaccessible(page: Page) -> list[str]:
    """What axe-core calls serious or critical on a page, by its rules for WCAG 2 A and AA.

    White on Airflow's own colour of `running` has a contrast of 3.6, which is Airflow's to choose.
    """
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    found = Axe().run(page, context={"exclude": [[".badge.running"]]}, options=options).response["violations"]
    return [
        f"{one['id']}: {node['html']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def take_picture(page: Page, name: str, folder: Path) -> None:
    """Into SCREENSHOTS=<folder>, else into `folder`."""
    page.mouse.move(0, 0)  # off what would show a tooltip
    path = Path(os.environ.get("SCREENSHOTS") or folder) / f"{name}.png"
    shown = page.evaluate(SHOWN)
    page.screenshot(path=path, animations="disabled", clip={"x": 0, "y": 0, **shown})
