"""PostgreSQL is at a name with two addresses, and its hosts drop packets: how long a process stands is bounded."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from simulation.scale.hosts import Cable
from tests import soak
from tests.faults.lost_packets import NAME

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("FLASHSALE_TEST_DB") == "sqlite", reason="SQLite is on one host"),
    pytest.mark.skipif(sys.platform != "linux", reason="not Linux"),
]
ROOT = Path(__file__).parents[2]
MOUNT = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'


def test_hosts_that_drop_packets_are_left_in_bounded_time(record_property: Any) -> None:
    # PostgreSQL may run as another user, who cannot enter `tmp_path`.
    folder = Path(tempfile.mkdtemp(prefix="flashsale-packets-"))
    folder.chmod(0o755)
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{Cable.INNER.address(number)} {NAME}\n" for number in (2, 3)), encoding="utf-8")
    how = "real" if soak.SEED else "quick"
    command = [sys.executable, "-m", "tests.faults.lost_packets", str(folder), how]
    try:
        subprocess.run(["unshare", "--mount", "sh", "-c", MOUNT, "sh", hosts, "true"], check=True, capture_output=True)
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", MOUNT, "sh", hosts, *command],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mount namespaces: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if "NotAllowed" in done.stderr:
        pytest.skip(f"no network namespaces: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    record_property("seconds", found)
    assert found.pop("addresses") == [Cable.INNER.address(2), Cable.INNER.address(3)]
    assert found.pop("answer") == 1
    # The control: without keepalives, a statement waits for ever.
    assert found.pop("statement, without them") is None
    # An address has three seconds, so a name with two answers by the second one.
    assert found["connect, first address drops"] >= 2
    late = {way: took for way, took in found.items() if took is None or took > (60 if soak.SEED else 45)}
    assert late == {}
