"""A real server and a real browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from pluggy import Result

from tests.browser.site import FLAGS, Site, serving

LOG_LINES = 60
# Playwright runs an event loop in the test's thread. Tests query PostgreSQL between its calls, never inside one.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
# What a page shows after a request may take long on a busy machine.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Iterator[None]:
    """Adds the end of the server's log to the report of a test that fails."""
    outcome: Result[pytest.TestReport] = yield
    report = outcome.get_result()
    server = item.funcargs.get("shop") or item.funcargs.get("site")
    if report.failed and isinstance(server, Site):
        lines = server.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        report.sections.append(("log of the server", "\n".join(lines)))


@pytest.fixture
def site(transactional_db: None, gate: object, tmp_path: Path) -> Iterator[Site]:
    """A server for one test, with an empty PostgreSQL and an empty Redis."""
    with serving(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def db(shared_db: None) -> None:
    """What fixtures of pytest-django ask for: here it is the database that the server shares."""


@pytest.fixture(scope="module")
def shop(shared_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for all tests of a file. Each test has its own campaign, because a database in use cannot be emptied."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as eraser:
        eraser.flushall()
    with serving(tmp_path_factory.mktemp("shop")) as found:
        yield found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """The machine's Chromium."""
    with sync_playwright() as player:
        found = player.chromium.launch(executable_path=chromium, args=FLAGS)
        yield found
        found.close()


def _matters(message: ConsoleMessage) -> bool:
    """Chromium also logs every 4xx response, which is a normal answer here."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on a small phone in Indonesian. An error in its console fails the test."""
    context = browser.new_context(viewport={"width": 360, "height": 640}, locale="id-ID", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if _matters(message) else None)
    yield page
    context.close()
    assert errors == []
