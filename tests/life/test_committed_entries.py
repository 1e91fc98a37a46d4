"""Draw version 2: the lines commit to their entries before any number is known, and the beacon comes after that."""

import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import redis
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from flashsale.gate import bridge, sale_cards
from flashsale.life import draw, entries, leave, places, sale_control
from flashsale.models import Allocation, Entries, EntriesTile, Event, Record, Sale
from flashsale.rules import lottery
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState
from tests.beacons import CHAIN, INFO, Relay, running_relay, sign
from tests.factories import Shopper, card_of, lobby_sale, move_opening, refusal, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.fixture
def relay(settings: LazySettings) -> Iterator[Relay]:
    """A relay of the tests' own chain, which this server uses."""
    with running_relay() as found:
        settings.FLASHSALE_BEACON_CHAIN, settings.FLASHSALE_BEACON_RELAYS = CHAIN, (found.url,)
        yield found


def crowd(sale: Sale, names: str, **where: Any) -> list[Shopper]:
    people = [Shopper(sale, name, **where) for name in names.split()]
    for person in people:
        person.enter()
    return people


def freeze_now(sale: Sale) -> None:
    """Moves the opening so that the freeze is now, and runs one tick."""
    move_opening(sale, timezone.now() + timedelta(seconds=sale.freeze_lead_s, milliseconds=-1))
    tend(sale)
    sale.refresh_from_db()


def round_comes(sale: Sale) -> None:
    """Moves the freeze so far into the past that the round of the beacon is there, and runs one tick."""
    frozen_at = timezone.now() - timedelta(seconds=60)
    round_ = lottery.round_after(int(frozen_at.timestamp()), CHAIN)
    Sale.objects.filter(pk=sale.pk).update(entries_frozen_at=frozen_at, beacon_round=round_)
    tend(sale)
    sale.refresh_from_db()


def test_a_sale_with_a_beacon_commits_waits_and_draws(client: Client, relay: Relay, gate: redis.Redis) -> None:
    sale = lobby_sale(channels=("lazada", "akulaku"), draw_version=2, beacon="drand")
    assert (sale.freeze_lead_s, sale.beacon_chain) == (60, CHAIN.hash)
    people = crowd(sale, "ani budi cici dodi edi")
    bridge.run(leave.leave(card=sale and card_of(sale), line=people[3].line, place=people[3].place))
    address = f"/v1/sales/{sale.code}"
    before = client.get(f"{address}/draw").json()
    assert (before["version"], before["frozen_at"], before["drawn"], before["lines"]) == (2, None, False, {})
    freeze_now(sale)
    assert Event.objects.filter(type="sale.opened").count() == 0
    print(client.get(f"{address}/draw").json())
    print(client.get(f"{address}").json()["draw"])
    assert people[0].look().number is None
    round_comes(sale)
    t = client.get(f"{address}/transcript").json()
    print(json.dumps(t, indent=1))
    for check in lottery.checks(lottery.read(json.dumps(t)), CHAIN):
        print(check)
    print([p.look() for p in people])
    from tests.web.asgi import send_request
    print(send_request("GET", f"/v1/sales/{sale.code}/lines/lazada/status").json)
