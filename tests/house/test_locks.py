"""The locked packages can be installed, as wheels, by every Python and on every kind of machine that the README names.

uv plays the other machine: it reads which wheels the package index has. It installs nothing.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = {
    "Linux x86-64": "x86_64-unknown-linux-gnu",
    "Linux ARM": "aarch64-unknown-linux-gnu",
    "macOS ARM": "aarch64-apple-darwin",
}
DEMO, DEVELOPMENT = ("requirements.txt", "requirements-demo.txt"), ("requirements-dev.txt",)
NO_ANSWER = ("Failed to fetch", "error sending request", "Request failed")


def problem(machine: str, python: str, locks: Iterable[str]) -> str:
    """What uv says against installing these locks there; empty when they can be installed."""
    options = ["--python-platform", machine, "--python-version", python, "--only-binary", ":all:", "--require-hashes"]
    here = ["--python", sys.executable, "--target", tempfile.gettempdir(), "--dry-run", "--quiet"]
    files = [part for name in locks for part in ("-r", name)]
    done = subprocess.run(
        [UV, "pip", "install", *options, *here, *files],
        cwd=ROOT, env=os.environ | {"UV_HTTP_TIMEOUT": "10"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


@cache
def index_answers() -> bool:
    """Whether the package index can be reached. Asked once for all tests here."""
    text = problem(MACHINES["Linux x86-64"], "3.11", DEMO)
    return not any(words in text for words in NO_ANSWER)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_the_locked_packages_have_wheels(machine: str, python: str) -> None:
    if not index_answers():
        pytest.skip("no network: the locks were not compared with the package index")
    assert problem(machine, python, DEMO) == ""
    assert problem(machine, python, DEVELOPMENT) == ""


def test_a_lock_without_a_wheel_is_noticed(tmp_path: Path) -> None:
    """Shows that uv compares with the index: uvloop has no wheels for Windows."""
    if not index_answers():
        pytest.skip("no network: the locks were not compared with the package index")
    block = re.search(
        r"^(uvloop==\S+).*?((?: \\\n    --hash=\S+)+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE
    )
    assert block is not None
    lock = tmp_path / "lock.txt"
    lock.write_text(block[1] + block[2])
    assert problem("x86_64-unknown-linux-gnu", "3.11", [str(lock)]) == ""
    assert "no usable wheels" in problem("x86_64-pc-windows-msvc", "3.11", [str(lock)])
