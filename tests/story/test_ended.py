"""A signal ends a command that has started servers. Then no server runs any more, and no file is left."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.story import surroundings
from tests.story.broken import ROOT

pytestmark = pytest.mark.slow
WITHIN_S = 120


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the command makes its temporary files. Its name is short, because sockets have their place in it."""
    made = Path(tempfile.mkdtemp(prefix="ended-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def processes(folder: Path) -> dict[int, str]:
    """The command of each process whose temporary files are in this folder, by process id."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            # Redis writes its title over its environment, so it is known by its files.
            if str(folder) in command or f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = command
        except OSError:  # it has ended, or belongs to somebody else
            continue
    return found


@pytest.mark.parametrize(
    ("command", "server", "number", "code"),
    [
        (["story", "--scale=0.03"], "granian", signal.SIGTERM, 143),
        (["bench", "--only=enter"], "postgres", signal.SIGHUP, 129),
        (["scale", "--only=pgbouncer"], "postgres", signal.SIGTERM, 143),
    ],
    ids=["story", "bench", "scale"],
)
def test_a_command_that_a_signal_ends_leaves_no_server_and_no_file(
    folder: Path, command: list[str], server: str, number: signal.Signals, code: int
) -> None:
    env = surroundings.clean_environment() | {"TMPDIR": str(folder), "FLASHSALE_DEMO": "1"}
    with (folder / "log").open("wb") as log:
        run = subprocess.Popen(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        until = time.monotonic() + WITHIN_S
        while not any(server in text for text in processes(folder).values()):
            assert run.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        os.killpg(run.pid, number)
        ended = run.wait(timeout=WITHIN_S)
        log_text = (folder / "log").read_text()
        assert processes(folder) == {}, log_text
        left = {path.name for path in folder.iterdir()} - {"log"}
        assert {name for name in left if not name.startswith(("flashsale-ports-", "flashsale-story-"))} == set()
        assert ended == code, log_text
    finally:
        for pid in processes(folder):
            os.kill(pid, signal.SIGKILL)
        run.wait(timeout=WITHIN_S)
