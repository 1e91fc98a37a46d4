"""`make run` for a newcomer: it comes up, says so when it is up already, ends at Ctrl-C, goes on with the same data."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulation import fetch
from simulation.processes import free_port
from tests.story import surroundings
from tests.story.broken import ROOT

ENDS_WITHIN_S = 20
READY_WITHIN_S = 120

pytestmark = pytest.mark.slow


class Run:
    """`manage.py run` with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.var = folder / "var"
        self._log = folder / "run.log"
        self._environment = {**surroundings.bare(), "FLASHSALE_VAR": str(self.var), "PYTHONUNBUFFERED": "1"}
        self._command = [sys.executable, "manage.py", "run", "--port", str(self.port)]
        self._started: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """What it has printed since it was started."""
        return self._log.read_text()

    @property
    def sales(self) -> dict[str, Any]:
        """The sales that it shows, by code."""
        found = fetch.document(f"http://127.0.0.1:{self.port}/v1/sales")["results"]
        return {sale["code"]: sale for sale in found}

    def start(self) -> None:
        """Start, and wait until it says that it is ready."""
        with self._log.open("wb") as log:
            self._started = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        ends = time.monotonic() + READY_WITHIN_S
        while "Ready." not in self.said:
            if self._started.poll() is not None or time.monotonic() > ends:
                pytest.fail(self.said)
            time.sleep(0.2)

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        assert self._started is not None
        self._started.send_signal(signal.SIGINT)
        return self._started.wait(timeout=ENDS_WITHIN_S)

    def end(self) -> None:
        """Whatever has happened, it does not stay."""
        if self._started is not None and self._started.poll() is None:
            self._started.terminate()
            self._started.wait(timeout=ENDS_WITHIN_S)

    def second_copy(self) -> str:
        """What another copy says."""
        return subprocess.run(
            self._command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        ).stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One that is up."""
    running = Run(tmp_path_factory.mktemp("run"))
    try:
        running.start()
        yield running
    finally:
        running.end()


def test_the_first_address_printed_answers(run: Run) -> None:
    first = next(word for word in run.said.split() if word.startswith("http://"))

    assert first == f"http://127.0.0.1:{run.port}/"
    assert fetch.status(first) == 200


def test_a_campaign_in_the_middle_of_its_life_is_there(run: Run) -> None:
    sales = run.sales

    assert {code for code in sales if not code.startswith("practice")} == {"26-january", "29-january", "2-february"}
    assert sales["26-january"]["drawn"]
    assert sales["29-january"]["phase"] in {"lobby", "open"}
    assert sales["2-february"]["phase"] == "scheduled"
    assert any(code.startswith("practice") for code in sales)


def test_secrets_of_the_demo_are_private(run: Run) -> None:
    modes = {name: (run.var / name).stat().st_mode & 0o777 for name in ("logins.txt", "partners.json", "secrets.env")}

    assert modes == {"logins.txt": 0o600, "partners.json": 0o600, "secrets.env": 0o600}
    assert set(json.loads((run.var / "partners.json").read_text())["poco-m3"]) == {"lazada", "akulaku", "mi-store"}


def test_a_second_copy_says_that_one_is_running(run: Run) -> None:
    assert "A demo is running already" in run.second_copy()


def test_it_ends_in_time_and_goes_on_with_the_same_data(run: Run) -> None:
    before = run.sales["26-january"]

    assert run.interrupt() == 0
    assert "Stopped." in run.said
    run.start()

    assert run.sales["26-january"] == before
    assert "not printed again" not in run.said
    assert run.interrupt() == 0
