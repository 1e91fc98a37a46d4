"""The gate's scripts read the same line's clock as the rules in Python."""

import json
from pathlib import Path

import pytest

from flashsale.gate import bridge
from flashsale.gate.client import PRELUDE, gate

pytestmark = pytest.mark.usefixtures("gate")
VECTORS = json.loads((Path(__file__).parents[1] / "rules" / "estimate-vectors.json").read_text(encoding="utf-8"))
# Redis' own clock and the sale's hash are replaced by the inputs of a vector; the rest of the prelude runs as it is.
STUB = """
local hash = {run = 'run', replication = 'r', mark = '0',
              opens = ARGV[2], paused_ms = ARGV[3], runs_from = ARGV[4], runs_until = ARGV[5]}
local redis = {call = function(command, key, ...)
  if command == 'TIME' then return {math.floor(ARGV[6] / 1000), (ARGV[6] % 1000) * 1000} end
  if command == 'INFO' then return 'master_replid:r' end
  local values = {}
  for i, field in ipairs({...}) do values[i] = hash[field] end
  return values
end}
"""


async def _now(*, wall: int, opens: int, stopped: int, lease: tuple[int, int]) -> int:
    script = f"{STUB}{PRELUDE}\nreturn read_sale().now"
    return int(await gate().redis.eval(script, 1, "sale", "run 0", opens, stopped, *lease, wall))


def test_the_prelude_agrees_with_the_vectors() -> None:
    cases = [{name: value for name, value in case.items() if name != "now"} for case in VECTORS["line_clock"]]
    assert [bridge.run(_now(**case)) for case in cases] == [case["now"] for case in VECTORS["line_clock"]]
