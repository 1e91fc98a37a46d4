"""The story holds every promise, and notices when a guard is taken out."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flashsale.rules import lottery
from tests.story import broken

# What the test run has set for its own servers is none of the story's business.
SETTINGS = ("DATABASE_URL", "REDIS_URL", "TEST_DATABASE_URL", "FLASHSALE_VAR", "EMAIL_URL", "DJANGO_SETTINGS_MODULE")
PATIENCE_S = 180

pytestmark = pytest.mark.slow


def _tell(root: Path, out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status of a story told from a copy of the product, and its report."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "manage.py", "story", "--json", "--out", str(out), *arguments]
    told = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert told.stdout, told.stderr
    return told.returncode, json.loads(told.stdout)


def _broken(root: Path, out: Path, scale: float) -> tuple[int, set[int]]:
    status, report = _tell(root, out, "--acts", "1", "--scale", str(scale))
    return status, {check["promise"] for check in report["broken"]}


def test_all_promises_hold_from_january_to_february(tmp_path: Path) -> None:
    out = tmp_path / "out"

    status, report = _tell(broken.ROOT, out, "--scale", "0.06")

    assert report["broken"] == []
    assert status == 0
    assert [act["act"] for act in report["acts"]] == ["26 January", "27 January", "29 January", "2 February"]
    assert report == json.loads((out / "report.json").read_text())
    assert {path.name for path in out.glob("transcript-*.json")} == {
        "transcript-26-january.json", "transcript-29-january.json", "transcript-2-february.json",
    }  # fmt: skip


def test_a_stranger_can_verify_what_a_story_leaves(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _tell(broken.ROOT, out, "--acts", "1", "--scale", "0.02")

    transcript = out / "transcript-26-january.json"
    answers = [json.loads(line) for line in (out / "answers.ndjson").read_text().splitlines()]
    looks = [a["body"] for a in answers if a["verb"] == "look" and a["status"] == 200]
    draw = lottery.read(transcript.read_text())
    with (out / "units.csv").open(newline="") as file:
        sold = [row["reservation"] for row in csv.DictReader(file) if row["state"] == "confirmed"]
    acknowledged = {a["sent"]["reservation"] for a in answers if a["verb"] == "confirm" and a["status"] == 200}

    assert lottery.main(["verify", str(transcript)]) == 0
    assert [lottery.number_in(draw, line=b["line"], index=b["index"]) for b in looks] == [b["number"] for b in looks]
    assert sorted(sold) == sorted(acknowledged)


def test_a_broken_limit_is_noticed(tmp_path: Path) -> None:
    copy = broken.copy(tmp_path / "copy", broken.LIMIT)

    status, promises = _broken(copy, tmp_path / "out", 0.04)

    assert status == 1
    assert 3 in promises


def test_broken_stock_is_noticed(tmp_path: Path) -> None:
    copy = broken.copy(tmp_path / "copy", broken.STOCK)

    status, promises = _broken(copy, tmp_path / "out", 0.02)

    assert status == 1
    assert 1 in promises


def test_a_broken_order_is_noticed(tmp_path: Path) -> None:
    copy = broken.copy(tmp_path / "copy", broken.ORDER)

    status, promises = _broken(copy, tmp_path / "out", 0.05)

    assert status == 1
    assert 6 in promises
