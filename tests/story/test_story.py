"""The story keeps every promise, and it notices a missing guard."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flashsale.rules import lottery
from simulation.journal import Answer, Journal
from simulation.observations import Observations, confirmations, reservation_of
from simulation.servers import TEMPLATE
from tests import databases, samples
from tests.forged_draws import FORGED
from tests.story import broken, surroundings

STORY_S_MAX = 3600
SALE = "26-january"
SCALE = "0.06" if samples.WHOLE else "0.03"

pytestmark = pytest.mark.slow
# What is removed from a copy, the scale of its story, and the promises that are broken then.
ALONE = {
    "limit": ((broken.LIMIT,), 0.04, {3}),
    "stock": ((broken.STOCK,), 0.02, {1}),
    "order": ((broken.ORDER,), 0.05, {6}),
}
BROKEN = ALONE if samples.WHOLE else {"all": ((broken.LIMIT, broken.STOCK, broken.ORDER), 0.05, {1, 3, 6})}


def _run_story(root: Path, out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs a story in a copy of the product. Returns its exit status and report."""
    command = [sys.executable, "manage.py", "story", "--json", "--out", str(out), *arguments]
    done = subprocess.run(
        command,
        cwd=root,
        env=surroundings.clean_environment() | {TEMPLATE: str(databases.file_for_programs())},
        capture_output=True,
        text=True,
        timeout=STORY_S_MAX,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[tuple[int, set[int]]]]]:
    """Stories without a guard: exit status and broken promises. They run side by side, because a story mostly waits."""

    def run_without_guard(name: str) -> tuple[int, set[int]]:
        breakages, scale, wanted = BROKEN[name]
        folder = tmp_path_factory.mktemp(name)
        copy = broken.copy(folder / "copy", *breakages)
        # A story finds only what happens in it. On a busy machine it may happen that no person tries to buy twice.
        for attempt in range(3):
            options = ("--acts", "1", "--scale", str(scale), "--randomness", "none")
            status, report = _run_story(copy, folder / f"out-{attempt}", *options)
            promises = {check["promise"] for check in report["broken"]}
            if wanted <= promises:
                break
        return status, promises

    with ThreadPoolExecutor(len(BROKEN)) as executor:
        yield {name: executor.submit(run_without_guard, name) for name in BROKEN}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, Future[tuple[int, Any]]]]]:
    """All four days, in both variants of 29 January, side by side."""
    outs = {rerun: tmp_path_factory.mktemp(rerun) / "out" for rerun in ("public", "tranches")}
    with ThreadPoolExecutor(len(outs)) as executor:
        yield {
            rerun: (out, executor.submit(_run_story, broken.ROOT, out, "--scale", SCALE, "--rerun", rerun))
            for rerun, out in outs.items()
        }


@pytest.mark.parametrize("rerun", ["public", "tranches"])
def test_all_promises_hold_on_all_four_days(rerun: str, whole: dict[str, tuple[Path, Future[tuple[int, Any]]]]) -> None:
    out, story = whole[rerun]
    status, report = story.result()

    assert report["broken"] == []
    assert status == 0
    assert [act["act"] for act in report["acts"]] == ["26 January", "27 January", "29 January", "2 February"]
    assert ("tranches" in report["acts"][2]) == (rerun == "tranches")
    assert report == json.loads((out / "report.json").read_text())
    money = next(check for check in report["checks"] if check["title"] == "money at the gateways is orders and refunds")
    paid = int(money["found"].partition(" payments")[0])
    assert (money["held"], paid > 0) == (True, True)
    assert {path.name for path in out.glob("transcript-*.json")} == {
        "transcript-26-january.json",
        "transcript-29-january.json",
        "transcript-2-february.json",
    }
    fairness_reports = {path.name: json.loads(path.read_text()) for path in out.glob("fairness-*.json")}
    assert {name: content["order"]["kept"] for name, content in fairness_reports.items()} == dict.fromkeys(
        ("fairness-26-january.json", "fairness-29-january.json", "fairness-2-february.json"), True
    )


def test_a_stranger_can_verify_the_files_of_a_story(whole: dict[str, tuple[Path, Future[tuple[int, Any]]]]) -> None:
    out, story = whole["public"]
    story.result()

    transcript, chain = out / "transcript-26-january.json", ("--chain", str(out / "drand-chain.json"))
    answers = [json.loads(line) for line in (out / "answers.ndjson").read_text().splitlines()]
    draw = lottery.read(transcript.read_text())
    looks = [a["body"] for a in answers if (a["verb"], a["status"], a["sale"]) == ("look", 200, SALE)]
    with (out / "units.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["sale"] == SALE]
    # The review of 27 January cancels some of the orders.
    sold = [row["reservation"] for row in rows if row["state"] in {"confirmed", "cancelled"}]
    journal = Journal()
    for answer in answers:
        journal.add(Answer(**answer))
    acknowledged = {
        reservation_of(answer) for answer in confirmations(Observations(journal=journal, limit=1), sale=SALE)
    }

    assert (draw.version, draw.drand is not None, draw.lines["lazada"].cohort > 0) == (2, True, True)
    assert lottery.main(["verify", str(transcript), *chain]) == 0
    assert lottery.main(["verify", str(transcript)]) == 1, "the rounds of the story are not drand's"
    for signed in json.loads((out / "receipts-26-january.json").read_text()):
        receipt, proof = signed["receipt"], out / "receipt.json"
        proof.write_text(json.dumps(signed))
        where = ["--line", receipt["line"], "--index", str(receipt["index"]), "--proof", str(proof)]
        assert lottery.main(["verify", str(transcript), *chain, *where]) == 0
    for forge in FORGED:
        forged = json.loads(transcript.read_text())
        forge(forged)
        (out / "forged.json").write_text(json.dumps(forged))
        assert lottery.main(["verify", str(out / "forged.json"), *chain]) == 1, forge.__name__
    assert [lottery.number_in(draw, line=b["line"], index=b["index"]) for b in looks] == [b["number"] for b in looks]
    assert sorted(sold) == sorted(acknowledged)


@pytest.mark.parametrize("guards", BROKEN)
def test_missing_guards_are_noticed(guards: str, stories: dict[str, Future[tuple[int, set[int]]]]) -> None:
    status, promises = stories[guards].result()

    assert status == 1
    assert promises >= BROKEN[guards][2]
