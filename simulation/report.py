"""The results of a story: tables for people, report.json for programs, and files to recompute the checks from."""

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flashsale.life.appeal import ledger
from simulation import lineage
from simulation.story import Story

FILES = (
    "report.json, answers.ndjson, units.csv, transcript-*.json, draw-*.json, keys-*.json, receipts-*.json, "
    "drand-chain.json, fairness-*.json"
)


def as_document(story: Story, *, seconds: float) -> dict[str, Any]:
    """The whole story as data for JSON: days, checks, counts of answers, and the ledger of appeals."""
    broken = [asdict(check) for check in story.checks if not check.held]
    return {
        "version": 1,
        "scale": story.scale,
        "seed": story.seed,
        "seconds": round(seconds, 1),
        "held": not broken,
        "acts": [{name: dict(value) if name == "ends" else value for name, value in act.items()} for act in story.acts],
        "answers": _answers(story),
        "ledger": [{**asdict(entry), "precision": entry.precision} for entry in ledger()],
        "checks": [asdict(check) for check in story.checks],
        "broken": broken,
    }


def _answers(story: Story) -> dict[str, dict[str, int]]:
    """Counts the answers by verb, and by refusal code or HTTP status."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for answer in story.journal.answers:
        counts[answer.verb][answer.code or str(answer.status)] += 1
    return {verb: dict(found) for verb, found in counts.items()}


def write(story: Story, document: dict[str, Any], out: Path) -> None:
    """Writes report.json and units.csv. The answers and transcripts were written during the story."""
    (out / "report.json").write_text(json.dumps(document, indent=1, default=str, ensure_ascii=False), encoding="utf-8")
    lineage.write(story.observed.unit_history, out / "units.csv")


def print_tables(story: Story, document: dict[str, Any], console: Console) -> None:
    """Prints the tables and then each broken check."""
    console.print(_acts(story))
    console.print(_checks(story))
    count, seconds = len(story.checks), document["seconds"]
    if document["held"]:
        console.print(f"[bold green]All {count} checks held[/] in {seconds} s, scale {story.scale:g}.")
        return
    console.print(f"[bold red]{len(document['broken'])} of {count} checks are broken:[/]")
    for check in document["broken"]:
        what = f"promise {check['promise']}, {check['act']}: {check['title']}"
        console.print(Text(f"  {what}: found {check['found']}; expected {check['expected']}"))


def _acts(story: Story) -> Table:
    table = Table(title="The campaign of January 2021", title_justify="left")
    for heading in ("day", "finished after", "units", "people", "results"):
        table.add_column(heading, justify="left" if heading in {"day", "results"} else "right")
    for act in story.acts:
        results = act.get("ends") or {**act.get("cancelled", {}), **_appeals(act)}
        words = ", ".join(f"{count} {what}" for what, count in sorted(results.items(), key=lambda pair: -pair[1]))
        table.add_row(
            act["act"], f"{act['over_after_s']} s", str(act.get("units", "")), str(act.get("people", "")), words
        )
    return table


def _appeals(act: dict[str, Any]) -> dict[str, int]:
    return {f"appeals {state}": count for state, count in act.get("appeals", {}).items()}


def _checks(story: Story) -> Table:
    """Shows the newest result of each check, because a later day checks all earlier observations again.

    A check that was broken once stays broken in the table.
    """
    table = Table(title="Promises, checked from outside and by the audit", title_justify="left")
    for heading in ("", "promise", "check", "found"):
        table.add_column(heading, justify="right" if heading == "promise" else "left")
    newest = {check.title: check for check in story.checks if check.held}
    newest |= {check.title: check for check in story.checks if not check.held}
    for check in sorted(newest.values(), key=lambda check: (check.promise or 99, check.title)):
        sign = Text("held", style="green") if check.held else Text("BROKEN", style="bold red")
        table.add_row(sign, str(check.promise or ""), check.title, Text(check.found))
    return table
