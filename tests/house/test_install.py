"""`.ci/install.py` says in time what is wrong when pip cannot download."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LOCK = f"flashsale-has-no-such-package==1.0 --hash=sha256:{'0' * 64}\n"


def install(lock: Path, index: str, **env: str) -> subprocess.CompletedProcess[str]:
    """What the script does with an index of its own; raises TimeoutExpired when it does not end."""
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index, "PIP_TRUSTED_HOST": "127.0.0.1"} | env
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    command = [sys.executable, ".ci/install.py", str(lock)]
    return subprocess.run(
        command, cwd=ROOT, env=inherited | settings, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock with one package that is not installed."""
    file = tmp_path / "requirements.txt"
    file.write_text(LOCK)
    return file


def test_an_index_that_cannot_be_reached_is_named_with_what_helps(lock: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nothing listens here
        done = install(lock, f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
    assert done.returncode != 0
    assert "No network?" in done.stdout
    assert "pip does not reach its package index:" in done.stderr
    assert "Connection refused" in done.stderr
    assert "PIP_FIND_LINKS" in done.stderr


def test_an_index_that_does_not_answer_is_said_while_pip_goes_on(lock: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        done = install(lock, index, PIP_RETRIES="0", PIP_DEFAULT_TIMEOUT="1")
    assert done.returncode != 0
    assert "timed out" in done.stderr
    assert "pip goes on" in done.stderr


def test_packages_that_are_here_need_no_index(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    lock.write_text(text[text.index("django-ratelimit==") :].split("\n    # via")[0])
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = install(lock, f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_other_error_is_pips_own(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(LOCK)
    done = install(lock, "http://127.0.0.1:9/simple", PIP_NO_INDEX="1")
    assert done.returncode != 0
    assert "No matching distribution found" in done.stderr
    assert "package index:" not in done.stderr
