"""The commands of docs/partner.md run as they stand there, and their answers have the shape that the document shows.

Blocks that are marked `sh` run, in the order of the document and in one shell. The block after one is its answer.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from flashsale.models import Sale
from simulation import logins, practice
from tests.browser.site import serving
from tests.factories import open_now
from tests.house.reference import DOCS
from tests.web.shapes import shape

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("os.environ.get('FLASHSALE_TEST_DB') == 'sqlite'", reason="SQLite has one writer"),
]
BLOCK = re.compile(r"^```(sh|http|)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end"
# The demo always listens there. The test's server has another port.
DEMO_URL = "http://127.0.0.1:8000"


def blocks() -> list[tuple[str, str]]:
    """Each command of the document with the block that follows it, if that is its answer."""
    text = (DOCS / "partner.md").read_text(encoding="utf-8")
    found = [(match[1], match[2], match.start(), match.end()) for match in BLOCK.finditer(text)]
    pairs = []
    for (kind, command, _, end), (after, answer, start, _) in zip(found, [*found[1:], ("sh", "", 0, 0)], strict=True):
        if kind == "sh":
            is_answer = after != "sh" and not text[end:start].strip()
            pairs.append((command, answer if is_answer else ""))
    return pairs


class Terminal:
    """A shell that keeps its variables and functions from one command to the next."""

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        self._bash = subprocess.Popen(
            ["bash"], cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip

    def run(self, command: str) -> str:
        """What the command prints."""
        self._bash.stdin.write(f'{command.replace(DEMO_URL, self._url)}\necho; echo "{END} $?"\n')
        self._bash.stdin.flush()
        said = ""
        for line in self._bash.stdout:
            if line.startswith(END):
                break
            said += line
        return said.strip()

    def close(self) -> None:
        self._bash.kill()
        self._bash.communicate()


def parsed(answer: str) -> tuple[str, set[str], Any]:
    """The status line, the names of the headers, and the body of an answer. All but the body may be missing."""
    head, _, body = answer.replace("\r", "").rpartition("\n\n") if answer.startswith("HTTP/") else ("", "", answer)
    status, *headers = head.splitlines() or [""]
    return status, {line.partition(":")[0].lower() for line in headers}, json.loads(body)


def agree(shown: str, real: str) -> None:
    """Fails if the real answer has not the status, the headers and the shape of the one that the document shows."""
    if not shown.startswith(("HTTP/", "{")):  # the output of a program
        assert re.sub(r"\d+", "0", shown.strip()) == re.sub(r"\d+", "0", real)
        return
    (status, headers, body), (real_status, real_headers, real_body) = parsed(shown), parsed(real)
    assert status in {"", real_status}
    assert headers <= real_headers
    if "more" in body:  # the document shows some events only
        real_events = {event["type"]: event for event in real_body.pop("results")}
        for event in body.pop("results"):
            assert shape(event) == shape(real_events[event["type"]])
    assert shape(body) == shape(real_body)


@pytest.fixture
def terminal(transactional_db: None, gate: redis.Redis, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in a folder where a demo runs, with a practice sale in its lobby."""
    gate.flushall()
    campaign = practice.plan()
    practice.next_sale(campaign)
    var = tmp_path / "var"
    var.mkdir()
    logins.partner_keys(var / "partners.json", campaign)
    (tmp_path / "flashsale").symlink_to(DOCS.parent / "flashsale")
    with serving(var) as site:
        found = Terminal(tmp_path, site.url)
        yield found
        found.close()


def test_the_commands_of_the_document_give_the_answers_that_it_shows(terminal: Terminal) -> None:
    commands = blocks()
    assert len([answer for _, answer in commands if answer]) >= 12
    for command, shown in commands:
        if command.startswith("until "):
            sale = Sale.objects.get()
            open_now(sale), open_now(sale)  # the second time calls people
        real = terminal.run(command)
        if shown:
            agree(shown, real)
        else:
            assert real == ""
