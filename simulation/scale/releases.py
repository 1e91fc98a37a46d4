"""The code of the release before, from the repository."""

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The last migration of the release before, for a repository without tags.
BEFORE = 38


class NoRelease(RuntimeError):
    """The repository does not have the release before. The text says why, and what to do."""


def release_before() -> str:
    """The commit of the release before: FLASHSALE_RELEASE_BEFORE, the newest tag, or the last with migration BEFORE.

    Raises NoRelease.
    """
    if named := os.environ.get("FLASHSALE_RELEASE_BEFORE"):
        return named
    if tag := _git("describe", "--tags", "--abbrev=0", "HEAD"):
        return tag
    if _git("rev-parse", "--is-shallow-repository") != "false":
        raise NoRelease("this clone has no tag and not the whole history: git fetch --unshallow --tags")
    added = _git(
        "log", "--first-parent", "-m", "--diff-filter=A", "--name-only", "--format=:%H", "flashsale/migrations"
    )
    first, commit = "", ""
    for line in added.splitlines():  # the newest commit first
        if line.startswith(":"):
            commit = line[1:]
        elif (found := re.search(r"/(\d{4})_\w+\.py$", line)) and int(found.group(1)) > BEFORE:
            first = commit
    if not first:
        raise NoRelease(f"there is no migration after {BEFORE:04}, so this is still the release before")
    return f"{first}^"


def extract_release_before(folder: Path) -> Path:
    """Writes the code of the release before into this folder, and returns the folder. Raises NoRelease."""
    commit = release_before()
    command = ["git", "archive", commit, "config", "flashsale"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise NoRelease(f"{commit} is not in this repository: {done.stderr.decode().strip()}")
    folder.mkdir(exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
