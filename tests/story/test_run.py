"""`make run` for a newcomer: it starts, refuses a second copy, stops at Ctrl-C, and continues with the same data."""

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

STOPS_WITHIN_S = 120
READY_WITHIN_S = 300

pytestmark = pytest.mark.slow


class Run:
    """One `manage.py run` with a new data folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.var = folder / "var"
        self._log = folder / "run.log"
        self._environment = {
            **surroundings.clean_environment(),
            "FLASHSALE_VAR": str(self.var),
            "PYTHONUNBUFFERED": "1",
        }
        self._command = [sys.executable, "manage.py", "run", "--port", str(self.port)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """The output since the last start."""
        return self._log.read_text()

    @property
    def sales(self) -> dict[str, Any]:
        """The sales in its API, by code, without the time of the answer."""
        sales = fetch.document(f"http://127.0.0.1:{self.port}/v1/sales")["results"]
        moving = {"now", "line_now"}
        return {sale["code"]: {name: sale[name] for name in sale.keys() - moving} for sale in sales}

    def start(self) -> None:
        """Starts the demo and waits until it prints `Ready.`."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_WITHIN_S
        while "Ready." not in self.output:
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(self.output)
            time.sleep(0.2)

    def interrupt(self) -> int:
        """Sends Ctrl-C. Returns the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=STOPS_WITHIN_S)

    def terminate(self) -> None:
        """Ends the demo if it still runs, also after a failed test."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=STOPS_WITHIN_S)

    def second_copy(self) -> str:
        """The error output of a second copy with the same data folder."""
        return subprocess.run(
            self._command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=300, check=False
        ).stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A demo that runs."""
    running = Run(tmp_path_factory.mktemp("run"))
    try:
        running.start()
        yield running
    finally:
        running.terminate()


def test_the_first_address_printed_answers(run: Run) -> None:
    first = next(word for word in run.output.split() if word.startswith("http://"))

    assert first == f"http://127.0.0.1:{run.port}/"
    assert fetch.status(first) == 200


def test_the_demo_has_a_campaign_with_past_and_future_sales(run: Run) -> None:
    sales = run.sales

    assert {code for code in sales if not code.startswith("practice")} == {"26-january", "29-january", "2-february"}
    assert sales["26-january"]["drawn"]
    assert sales["29-january"]["phase"] in {"lobby", "open"}
    assert sales["2-february"]["phase"] == "scheduled"
    assert any(code.startswith("practice") for code in sales)


def test_only_the_owner_can_read_the_secrets_of_the_demo(run: Run) -> None:
    modes = {name: (run.var / name).stat().st_mode & 0o777 for name in ("logins.txt", "partners.json", "secrets.env")}

    assert modes == {"logins.txt": 0o600, "partners.json": 0o600, "secrets.env": 0o600}
    assert set(json.loads((run.var / "partners.json").read_text())["poco-m3"]) == {"lazada", "akulaku", "mi-store"}


def test_a_second_copy_says_that_a_demo_runs_already(run: Run) -> None:
    assert "A demo is running already" in run.second_copy()


def test_it_stops_in_time_and_continues_with_the_same_data(run: Run) -> None:
    before = run.sales["26-january"]

    assert run.interrupt() == 0
    assert "Stopped." in run.output
    run.start()

    assert run.sales["26-january"] == before
    assert "not printed again" not in run.output
    assert run.interrupt() == 0
