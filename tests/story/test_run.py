"""`make run` for a newcomer: it comes up, says so when it is up already, ends at Ctrl-C, and goes on with the same data."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashsale.stage import fetch
from flashsale.stage.processes import free_port
from tests.story.broken import ROOT
from tests.story.test_story import SETTINGS

ENDS_WITHIN_S = 20
READY_WITHIN_S = 120

pytestmark = pytest.mark.slow


class Run:
    """`manage.py run` with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "run.log"
        self.var = folder / "var"
        environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        self._environment = {**environment, "FLASHSALE_VAR": str(self.var), "PYTHONUNBUFFERED": "1"}

    def start(self) -> "subprocess.Popen[bytes]":
        """Start, and wait until it says that it is ready."""
        self.log.write_text("")
        with self.log.open("ab") as log:
            started = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        ends = time.monotonic() + READY_WITHIN_S
        while "Ready." not in self.said:
            assert started.poll() is None, self.said
            assert time.monotonic() < ends, self.said
            time.sleep(0.2)
        return started

    def second_copy(self) -> str:
        """What another copy says."""
        return subprocess.run(
            self._command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        ).stderr

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    @property
    def _command(self) -> list[str]:
        return [sys.executable, "manage.py", "run", "--port", str(self.port)]


def _interrupt(started: "subprocess.Popen[bytes]") -> int:
    started.send_signal(signal.SIGINT)
    return started.wait(timeout=ENDS_WITHIN_S)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One that is stopped whatever happens."""
    running = Run(tmp_path_factory.mktemp("run"))
    started = running.start()
    yield running
    assert _interrupt(started) == 0
    assert "Stopped." in running.said
    again = running.start()
    sales = {sale["code"]: sale for sale in fetch.document(f"http://127.0.0.1:{running.port}/v1/sales")["results"]}
    assert sales["26-january"]["phase"] == "closed"
    assert "shown this once" not in running.said
    assert _interrupt(again) == 0


def test_the_first_address_printed_answers(run: Run) -> None:
    first = next(word for word in run.said.split() if word.startswith("http://"))

    assert first == f"http://127.0.0.1:{run.port}/"
    assert fetch.status(first) == 200


def test_a_campaign_in_the_middle_of_its_life_is_there(run: Run) -> None:
    sales = {sale["code"]: sale for sale in fetch.document(f"http://127.0.0.1:{run.port}/v1/sales")["results"]}

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
