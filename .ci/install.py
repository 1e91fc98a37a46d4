"""Installs locked packages with this Python's pip: `python .ci/install.py requirements.txt …`. The Makefile calls it.

Without a network, pip tries again for minutes and then says "no matching distribution". This script first asks for one
package, so that a person without a network reads within 5 s what is wrong. Every other error is pip's own.
"""

import re
import subprocess
import sys
from pathlib import Path

ANSWER_WITHIN_S = 3
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
ONCE = ["--retries", "0", "--timeout", str(ANSWER_WITHIN_S)]
# What pip logs about an index that it cannot reach. An answer such as 404 does not count.
UNREACHABLE = re.compile(
    r"Could not fetch URL (?P<url>\S+) (?P<kind>connection error|timed out|.*ssl certificate)"
    r".*?(?P<cause>[^:>]+?)['\")]*( - skipping)?$",
    re.MULTILINE,
)
NO_INDEX = """
The packages cannot be downloaded, because pip does not reach its package index:
  {error}
Expected: an index that answers within {limit} s. `pip config list` shows which one pip uses, and with which proxy.
What helps:
  connect this machine to the network, then run the same command again
  PIP_NO_INDEX=1 PIP_FIND_LINKS=/path/to/wheels make …      (a folder of wheels from another machine)
"""


def main(files: list[str]) -> int:
    """Install the files' packages and return the exit code."""
    install = [*PIP, "install", "--quiet", "--require-hashes", *(part for name in files for part in ("-r", name))]
    error = index_error(first_package(files[0]))
    if error is None:
        return subprocess.run(install, check=False).returncode
    # Said at once, because the next steps take some seconds on a slow machine.
    print(f"No network? {error}. Looking for the packages on this machine ...", flush=True)
    # Perhaps all packages are installed already, or in a folder that pip knows.
    if subprocess.run([*install, "--no-index"], capture_output=True, check=False).returncode == 0:
        return 0
    message = NO_INDEX.format(error=error, limit=ANSWER_WITHIN_S)
    if "timed out" in error:
        print(message, "It may be slow, so pip goes on. Ctrl-C ends it.", sep="\n", file=sys.stderr, flush=True)
        return subprocess.run(install, check=False).returncode
    code = subprocess.run([*install, *ONCE], check=False).returncode
    if code:
        print(message, file=sys.stderr)
    return code


def first_package(file: str) -> str:
    """The first `name==version` of a lock."""
    found = re.search(r"^[\w.\-]+==[^\s;\\]+", Path(file).read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{file} pins no package. `make lock` compiles it.")
    return found[0]


def index_error(package: str) -> str | None:
    """Why pip cannot reach its index; None when it can. Asks for one package and installs nothing."""
    options = ["--dry-run", "--no-deps", "--ignore-installed", "-vvv", *ONCE]
    ask = [*PIP, "install", *options, package]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=ANSWER_WITHIN_S + 1)
    except subprocess.TimeoutExpired:
        return f"timed out after {ANSWER_WITHIN_S + 1} s"
    found = UNREACHABLE.search(done.stdout + done.stderr)
    return f"{found['url']} {found['cause'].strip()}" if found else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
