"""Says at the end of a run which tests were skipped, why, and the command that makes them run.

`make test` has two runs. FLASHSALE_TEST_SKIPS names a file then: each run adds a line, and `python -m tests.skips`
prints one summary for both. A test that ran in one of them does not count as skipped.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# What a skip's reason begins with, and the command that helps.
COMMANDS = {
    "no Chromium": "sudo apt-get install chromium      (or: export CHROMIUM=/path/to/chromium)",
    "no nginx": "sudo apt-get install nginx-light",
    "no PgBouncer": "sudo apt-get install pgbouncer",
    "no promtool": "sudo apt-get install prometheus      (only its program promtool is used)",
    "no Java": "sudo apt-get install default-jdk-headless",
    "no Node.js": "sudo apt-get install nodejs      (version 18 or newer)",
    "no PHP": "sudo apt-get install php-cli",
    "no openssl": "sudo apt-get install openssl",
    "no Redocly": "npm install --global @redocly/cli",
    "no Spectral": "npm install --global @stoplight/spectral-cli",
    "no Node tools": "npm install --global openapi-typescript openapi-fetch typescript@5      (needs Node 20 or newer)",
    "no network": "connect this machine to a Python package index, then run the tests again",
    "SQLite": "unset FLASHSALE_TEST_DB      (the tests then use PostgreSQL)",
    "not Linux": "run the tests on Linux",
}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the summary, or add the run to the file that FLASHSALE_TEST_SKIPS names."""
    stats = terminalreporter.stats
    skipped = {report.nodeid: _reason(report) for report in stats.get("skipped", [])}
    file = os.environ.get("FLASHSALE_TEST_SKIPS")
    if file:
        ran = [report.nodeid for how in ("passed", "failed", "error") for report in stats.get(how, [])]
        with Path(file).open("a", encoding="utf-8") as runs:
            runs.write(json.dumps({"ran": ran, "skipped": skipped}) + "\n")
    elif skipped:
        terminalreporter.section("skipped")
        terminalreporter.write_line("\n".join(summary(skipped)))


def summary(skipped: Mapping[str, str]) -> list[str]:
    """One line for the number of tests, two for each reason. `skipped` is test → reason."""
    if not skipped:
        return ["No test was skipped."]
    lines = [f"{len(skipped)} tests did not run:"]
    for reason, times in Counter(skipped.values()).most_common():
        lines += [f"  {times:4} {reason}", f"       {_command(reason)}"]
    return lines


def merged(runs: Iterable[str]) -> dict[str, str]:
    """The tests that no run has run, with the reason. Each run is a line of the file."""
    skipped: dict[str, str] = {}
    ran: set[str] = set()
    for run in map(json.loads, runs):
        skipped |= run["skipped"]
        ran.update(run["ran"])
    return {test: reason for test, reason in skipped.items() if test not in ran}


def _reason(report: Any) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _command(reason: str) -> str:
    return next((command for start, command in COMMANDS.items() if reason.startswith(start)), "(no command helps)")


if __name__ == "__main__":
    print("\n".join(summary(merged(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()))))  # noqa: T201
