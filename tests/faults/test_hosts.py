"""Hosts in network namespaces: one is cut off in mid-sale, then all restart in turn, nginx too. The sale goes on."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation import nginx_server
from simulation.management.commands.scale import NOT_POSSIBLE
from tests import samples

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("FLASHSALE_TEST_DB") == "sqlite", reason="SQLite is on one host"),
    pytest.mark.skipif(nginx_server.find_program() is None, reason="no nginx"),
]
ROOT = Path(__file__).parents[2]
BUYERS = 40
NGINX_IS_AWAY = {"ClientConnectorError", "ServerDisconnectedError", "ClientOSError"}
CUT_OFF, RESTART = "a host is cut off from the stores alone", "rolling restart of everything"


def played(*arguments: str) -> dict[str, Any]:
    """The rounds of `manage.py scale`, by fault. Each acknowledged order is there, and each buyer has one."""
    command = [sys.executable, "manage.py", "scale", "--rounds=1", f"--buyers={BUYERS}", "--json", *arguments]
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode == NOT_POSSIBLE:
        pytest.skip(f"no network namespaces: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["fault"]: one for one in json.loads(done.stdout)}
    for one in found.values():
        assert {promise: texts for promise, texts in one["broken"].items() if texts} == {}
        assert one["orders"] == BUYERS
    return found


def test_a_host_that_is_cut_off_and_a_rolling_restart_lose_no_order_and_no_turn(record_property: Any) -> None:
    found = played("--only", "hosts", "--claim=8", "--fault", CUT_OFF, RESTART)
    assert list(found) == [CUT_OFF, RESTART]
    for one in found.values():
        record_property(one["fault"], one["notes"])
        assert len(one["broken"]) == 5
    assert found[CUT_OFF]["notes"]["failures"] == "{}"
    # nginx restarts, too. What it has not answered is sent again.
    broken_off = ast.literal_eval(found[RESTART]["notes"]["failures"])
    assert {name.partition(": ")[2] for name in broken_off} <= NGINX_IS_AWAY
    assert (found[RESTART]["notes"]["bad pages"], int(found[RESTART]["notes"]["pages"]) > 0) == ("{}", True)
    assert "503 not_ready" in found[CUT_OFF]["notes"]["the door answers"]
    assert "exit code" not in str(found[RESTART]["notes"])


@pytest.mark.skipif(not samples.WHOLE, reason="the long form: make soak")
def test_a_host_of_a_cluster_that_is_cut_off_with_its_door_loses_no_order() -> None:
    assert len(played("--only", "partition", "--claim=60")) == 1
