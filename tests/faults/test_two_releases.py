"""A door of the release before and a door of this one sell in one sale, on the same Redis and PostgreSQL."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from flashsale.life.audit import Verdict, audit
from flashsale.models import Reservation, Sale, Unit
from simulation.processes import Process, free_port, wait_http
from simulation.scale import releases
from simulation.scale.selling_crowd import STEPS, Crowd
from tests import servers, soak
from tests.factories import PHONE, identity, lobby_sale, open_now, poco_campaign
from tests.loop import in_a_loop
from tests.web.partner import key_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("gate"),
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]
ROOT = Path(__file__).parents[2]
BUYERS, BUYERS_LONG = 24, 1500


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before."""
    try:
        return releases.extract_release_before(tmp_path_factory.mktemp("older"))
    except releases.NoRelease as error:
        pytest.skip(str(error))


def environment(code: Path, folder: Path, redis_url: str) -> dict[str, str]:
    """The settings of a process that runs this code."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": servers.books_url(), "REDIS_URL": redis_url,
        "FLASHSALE_VAR": str(folder), "FLASHSALE_DB_POOL": "4", "PYTHONPATH": str(code),
    }  # fmt: skip


def door(code: Path, name: str, port: int, log: Path, redis_url: str) -> Process:
    """A door that runs this code."""
    options = ["--interface=asgi", "--loop=uvloop", "--no-ws", "--http=1", "--no-access-log", "--workers=1"]
    command = [sys.executable, "-m", "granian", "--host=127.0.0.1", f"--port={port}", *options]
    env = environment(code, log.parent, redis_url)
    return Process(name=name, command=[*command, "config.asgi:application"], log=log, env=env, cwd=code)


@pytest.fixture
def doors(older: Path, tmp_path: Path, redis_url: str) -> Iterator[dict[str, str]]:
    """The addresses of both doors: older and newer."""
    with ExitStack() as stack:
        found, started = {}, []
        for name, code in (("older", older), ("newer", ROOT)):
            port = free_port()
            process = stack.enter_context(door(code, name, port, tmp_path / f"{name}.log", redis_url))
            found[name] = f"http://127.0.0.1:{port}"
            started.append((found[name], process))
        for address, process in started:
            wait_http(f"{address}/readyz", process=process, seconds=120)
        yield found


# Publishes a sale, and prints whose code does it, the sale and the key of the partner.
PUBLISH = """
import json, sys
from datetime import UTC, datetime, timedelta
import django
django.setup()
import flashsale
from flashsale.life import schedule
from flashsale.models import Channel, PartnerKey
units = int(sys.argv[1])
soon = datetime.now(UTC) + timedelta(seconds=1)
where = schedule.plan_campaign(
    code="older", name="Older", limit=1, axes={"phone": "hard enter", "email": "hard enter"},
    channels=[{"code": "lazada", "name": "Lazada", "payment_accounts": "partner"}],
)
sale = schedule.plan_sale(
    campaign=where, code="older", name="Older", opens_at=soon, closes_at=soon + timedelta(hours=1), claim_s=600,
    offers=[{"sku": "POCO-M3-4-64", "name": "Phone", "price": 1799000}], rate_per_s=100000, max_entries=20000,
    lines=[{"code": "lazada", "channels": ["lazada"], "stock": {"POCO-M3-4-64": units}}],
)
schedule.publish(sale=sale)
row, key = PartnerKey.make(Channel.objects.get(campaign=where, code="lazada"))
print(json.dumps([flashsale.__file__, sale.code, key]))
"""


def published_by(code: Path, folder: Path, redis_url: str, units: int) -> tuple[Sale, str]:
    """A sale that this code has published, and the key of its partner."""
    command = [sys.executable, "-c", PUBLISH, str(units)]
    env = {**os.environ, **environment(code, folder, redis_url)}
    done = subprocess.run(command, cwd=code, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    where, sale, key = json.loads(done.stdout.splitlines()[-1])
    assert Path(where).is_relative_to(code)
    return Sale.objects.get(code=sale), key


def test_sell_each_unit_once_and_each_goes_on_with_what_the_other_began(
    doors: dict[str, str], older: Path, tmp_path: Path, redis_url: str, record_property: Any
) -> None:
    newest = max(path.name for path in (older / "flashsale/migrations").glob("0*.py"))
    record_property("release before", newest)
    assert newest < max(path.name for path in (ROOT / "flashsale/migrations").glob("0*.py"))
    units = BUYERS_LONG if soak.SEED else BUYERS
    partner = {"code": "lazada", "name": "Lazada", "payment_accounts": "partner"}
    campaign = poco_campaign(channels=[partner])
    fields: dict[str, Any] = {"stock": {PHONE: units}, "max_entries": 20_000, "rate_per_s": 100_000, "claim_s": 600}
    ours = lobby_sale(campaign, **fields)
    open_now(ours)
    for sale, key in ((ours, key_of(campaign, "lazada")), published_by(older, tmp_path, redis_url, units)):
        crowd = Crowd(
            line=f"/v1/sales/{sale.code}/lines/lazada", key=key, doors=list(doors.values()), webs=list(doors.values()),
            identity=lambda name: {axis.value: value for axis, value in identity(name).items()}, sku=PHONE,
        )  # fmt: skip
        in_a_loop(crowd.buy(together=8, most=units))
        assert (crowd.strange, crowd.failures) == ([], {})
        routes = {tuple(buyer.by[step] for step in STEPS) for buyer in crowd.buyers}
        assert (
            {route[:2] for route in routes} == {route[1:] for route in routes} == set(product(doors.values(), repeat=2))
        )
        rows = dict(Reservation.objects.filter(sale=sale).values_list("id", "state"))
        assert {str(id_): state for id_, state in rows.items()} == {one.order: "confirmed" for one in crowd.buyers}
        assert len(rows) == units
        in_a_loop(crowd.ask_again(crowd.buyers[:4]))
        assert crowd.strange == []
    states = Unit.objects.values_list("allocation__sale__code", "state")
    assert Counter(states) == {(ours.code, "sold"): units, ("older", "sold"): units}
    for finding in audit():
        assert finding.verdict is not Verdict.BROKEN, finding
