"""The audit finds every promise held in a healthy sale, in every phase, and names the promise that a damage breaks."""

import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import redis

from flashsale.gate import bridge
from flashsale.life import audit, cancel, rebuild, sale_control
from flashsale.life.enter import digest_identity, enter
from flashsale.life.reallocate import reallocate
from flashsale.life.release import release
from flashsale.models import Reservation, Sale, Unit
from flashsale.rules.identity import Axis
from tests.factories import (
    PHONE,
    Shopper,
    card_of,
    draft_sale,
    end_now,
    identity,
    lobby_sale,
    open_now,
    poco_campaign,
    tend,
)
from tests.faults.steps import buy, come_due, dropped, reap
from tests.life.damages import DAMAGES, REFUSED_BY, Damaged, gate_counts_fewer_held

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
CHECKED = {0, 1, 2, 3, 6, 7, 10, 11}


@pytest.fixture(autouse=True)
def _one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One read is enough, because no message to Redis is on its way in these tests."""
    monkeypatch.setattr(audit, "READS", 1)


def broken(sale: Sale) -> dict[int, tuple[str, ...]]:
    findings = audit.audit(campaign=sale.campaign.code)  # 0: the events, and the audit trail
    assert {finding.promise for finding in findings if finding.verdict is not audit.Verdict.NOT_CHECKABLE} == CHECKED
    return {finding.promise: finding.broken for finding in findings if finding.verdict is audit.Verdict.BROKEN}


def test_a_healthy_sale_keeps_every_promise_in_every_phase() -> None:
    sale = draft_sale(poco_campaign(limit=2, appeal_s=1), stock={PHONE: 12}, max_entries=500)
    assert broken(sale) == {}
    sale = lobby_sale(sale.campaign, stock={PHONE: 12}, max_entries=500, limit=2)
    people = [Shopper(sale, name) for name in ("ani", "budi", "cici", "dodi", "edi")]
    for person in people:
        person.enter()
    assert broken(sale) == {}
    open_now(sale)
    tend(sale)
    ani, budi, cici, dodi, edi = people
    held, sold = ani.reserve(), buy(budi)
    assert broken(sale) == {}
    sale_control.pause(sale=sale)
    assert broken(sale) == {}
    sale_control.resume(sale=sale)
    release(reservation=cici.reserve().id, channel=cici.channel.id)
    dodi.reserve()
    come_due(sale)
    assert reap(sale) == 2
    assert Reservation.objects.get(pk=held.id).state == "expired"
    assert broken(sale) == {}
    buy(edi)
    end_now(sale)
    cancel.cancel(reservation=sold.pk, channel=budi.channel.id, code="buyer_request")
    assert broken(sale) == {}
    follow_up = lobby_sale(sale.campaign, stock={PHONE: 0}, max_entries=500)
    reallocate(source=sale, target=follow_up.allocations.get(), reserve=0)
    assert Unit.objects.filter(allocation__sale=follow_up, state="free").count() == 1
    assert broken(sale) == {}


def test_a_person_who_proves_two_addresses_breaks_nothing() -> None:
    sale = lobby_sale(stock={PHONE: 2}, max_entries=500)
    card, ani = card_of(sale), Shopper(sale, "ani")
    ani.enter()
    for email in ("a@example.com", "b@example.com", "c@example.com"):
        proven = digest_identity(card=card, values=identity("ani") | {Axis.EMAIL: email})
        entry = bridge.run(enter(card=card, line=ani.line, channel=ani.channel, digests=proven))
        assert (entry.index, entry.created) == (1, False)
    assert broken(sale) == {}


@pytest.mark.parametrize(("damage", "promises"), DAMAGES.items(), ids=[damage.__name__ for damage in DAMAGES])
def test_a_damage_breaks_its_promise_and_no_other(
    gate: redis.Redis, damage: Callable[[Damaged], object], promises: set[int]
) -> None:
    it = Damaged(gate)
    assert broken(it.sale) == {}
    with dropped(*REFUSED_BY[damage]) if damage in REFUSED_BY else nullcontext():
        damage(it)
        found = broken(it.sale)
    assert set(found) == promises
    assert all(found.values())


def test_a_difference_that_is_gone_at_the_next_read_breaks_no_promise(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Damaged(gate)
    gate_counts_fewer_held(it)
    monkeypatch.setattr(audit, "READS", 2)
    monkeypatch.setattr(time, "sleep", lambda _: it.gate.hincrby(it.keys.line(1), "held", 1))
    assert broken(it.sale) == {}


def test_an_audit_changes_nothing(gate: redis.Redis) -> None:
    it = Damaged(gate)
    before = lasting_keys(gate)
    broken(it.sale)
    assert lasting_keys(gate) == before


def lasting_keys(gate: redis.Redis) -> dict[bytes, bytes | None]:
    """All keys of Redis with their values, without the keys that expire within seconds."""
    return {key: gate.dump(key) for key in gate.scan_iter() if gate.ttl(key) == -1}


def test_a_sale_that_is_rebuilt_is_sound_before_and_after(gate: redis.Redis) -> None:
    it = Damaged(gate)
    gate.flushall()
    assert broken(it.sale) == {}
    rebuild.rebuild(sale=it.sale.pk)
    assert broken(it.sale) == {}
