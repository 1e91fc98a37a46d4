"""A web process on a host whose clock is wrong by 15 minutes answers like all others: deadlines are on Redis' clock."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import measure_clock as measuring
from flashsale.life.measure_clock import measure_clock
from flashsale.models import PartnerKey, Reservation, Sale
from flashsale.rules import wall_clock
from flashsale.rules.wall_clock import WALL_CLOCK
from flashsale.web.hot import partners
from tests.web.partner import ORDER, Partner, Signer, called_at, contact_of, hot, path_of

OFF = timedelta(minutes=15)


@contextmanager
def host_with_clock(off: timedelta, *, measured: bool) -> Iterator[None]:
    """Runs the block in a process that has just begun on a host whose clock is so much ahead."""
    right, right_s = timezone.now, time.time
    WALL_CLOCK.forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", lambda: right() + off)
        patch.setattr(time, "time", lambda: right_s() + off.total_seconds())
        if measured:
            bridge.run(measure_clock())
        yield
    WALL_CLOCK.forget()


def order_of(who: dict[str, str]) -> dict[str, object]:
    return ORDER | {"identity": who | {"address": "Jl. Melati 1"}, "contact": contact_of(who)}


def past_deadline(sale: Sale, reservation: str) -> None:
    """The hold ended a moment ago, and the line's clock began to run before that. It is not ended in PostgreSQL yet."""
    row = Sale.objects.select_related("clock").get(pk=sale.pk)
    while (line_now := row.line_ms(int(time.time() * 1000))) <= row.clock.runs_from_ms - row.paused_ms + 50:
        time.sleep(0.01)
    Reservation.objects.filter(pk=reservation).update(deadline_ms=line_now - 1)


def states(*ids: str) -> list[str]:
    return [Reservation.objects.get(pk=id_).state for id_ in ids]


def test_a_door_that_is_ahead_confirms_and_one_that_is_behind_accepts_no_hold_that_has_ended(
    sale: Sale, lazada: Partner
) -> None:
    _, ((first, ani), (ended, budi), (also_ended, citra)) = called_at(lazada, sale, 3)
    with host_with_clock(OFF, measured=False):  # the control
        assert hot(lazada, first, order_of(ani)).code == (400, "malformed")
    assert states(first) == ["held"]
    with host_with_clock(OFF, measured=True):
        assert hot(lazada, first, order_of(ani), key="k2").json["state"] == "confirmed"
    for reservation in (ended, also_ended):
        past_deadline(sale, reservation)
    with host_with_clock(-OFF, measured=True):
        assert hot(lazada, ended, order_of(budi), key=ended).code == (409, "expired")
    assert states(ended) == ["held"]
    with host_with_clock(-OFF, measured=False):  # the control: within a lease of the line's clock, it is accepted
        assert hot(lazada, also_ended, order_of(citra), key=also_ended).status == 200


@pytest.mark.parametrize("off", [-OFF, OFF], ids=["behind", "ahead"])
def test_signatures_and_keys_are_judged_by_the_time_of_redis(sale: Sale, lazada: Partner, off: timedelta) -> None:
    _, ((held, who),) = called_at(lazada, sale, 1)
    signer, path, now = Signer(lazada), path_of(held), time.time()
    signed = signer.headers("POST", path, order_of(who), key="k1", at=now)
    with host_with_clock(off, measured=False):  # the control
        assert hot(lazada, held, order_of(who), **signed).code == (401, "clock_skew")
    # A host that is behind gets a key that has ended, and a host that is ahead gets one that ends soon.
    PartnerKey.objects.update(expires_at=timezone.now() + off / 3)
    partners.forget_keys()
    with host_with_clock(off, measured=False):  # the control
        status = hot(lazada, held, {}, key="k0").status
    partners.forget_keys()
    assert (status, states(held)) == (401 if off > timedelta(0) else 400, ["held"])
    with host_with_clock(off, measured=True):
        reply = hot(lazada, held, order_of(who), **signed)
        assert abs(wall_clock.now_s() - now) < 60
    assert (reply.status, states(held)) == ((200, ["confirmed"]) if off > timedelta(0) else (401, ["held"])), reply.body


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite is on the same machine")
@pytest.mark.django_db(transaction=True)
def test_postgresql_tells_the_time_until_redis_has_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def down() -> int:
        raise GateDown("down")

    right = time.time()
    with host_with_clock(OFF, measured=False):
        monkeypatch.setattr(measuring, "wall_ms", down)
        bridge.run(measure_clock())
        assert abs(WALL_CLOCK.time_s() - right) < 60
        with pytest.raises(GateDown):  # it is measured, and goes on from there
            bridge.run(measure_clock())
