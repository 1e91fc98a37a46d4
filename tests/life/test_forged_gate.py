"""A person who can write to Redis changes no price, limit, channel or time: PostgreSQL says what is official."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from flashsale.books import reservations
from flashsale.books.reservations import NewReservation, ReservedUnit
from flashsale.books.writer_threads import Writer
from flashsale.gate import bridge, sale_cards, scripts
from flashsale.gate.keys import DIRECTORY, SaleKeys
from flashsale.gate.sale_card import SEAL_CHARS, ForgedCard, SaleCard
from flashsale.life import audit, tick
from flashsale.life.rebuild import rebuild_missing_sales
from flashsale.life.sale_card import card_of as card_in_books
from flashsale.models import (
    Allocation,
    DemoCharge,
    LimitSlot,
    Offer,
    PaymentAttempt,
    Reservation,
    ReservationUnit,
    Sale,
    Unit,
)
from flashsale.rules.outcomes import Outcome
from tests.factories import (
    BIG_PHONE,
    PHONE,
    Shopper,
    card_of,
    lobby_sale,
    open_now,
    poco_campaign,
    refusal,
    rewrite,
    tend,
)
from tests.faults.steps import broken, buy, called, dying, in_books, in_gate, pay
from tests.life.buyers import PRICE
from tests.life.tranches import line, sale_of
from tests.races.lying_gate import LyingGate

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def keys_of(sale: Sale) -> SaleKeys:
    return SaleKeys(sale.campaign_id, sale.pk)


def read_again(*, fresh_process: bool = False) -> None:
    """The cards that this process has read are old; a fresh process has read none."""

    async def drop() -> None:
        cards = sale_cards.CARDS.entries()
        for code, cached in list(cards.items()):
            cards[code] = cached._replace(at=0.0)
        if fresh_process:
            cards.clear()

    bridge.run(drop())


def card_now(sale: Sale) -> SaleCard | None:
    return bridge.run(sale_cards.card_of(sale.code))


def restored() -> None:
    """What each web process does within a second."""
    bridge.run(rebuild_missing_sales())
    read_again()


def text_of(gate: redis.Redis, sale: Sale) -> bytes:
    text = gate.get(keys_of(sale).card)
    assert isinstance(text, bytes)
    return text


def price_of_one(gate: redis.Redis, sale: Sale) -> None:
    """The price in the card becomes 1, as text: the rest stays as it is."""
    text = text_of(gate, sale)
    forged = text.replace(f'"price":{PRICE}'.encode(), b'"price":1')
    assert forged != text
    gate.set(keys_of(sale).card, forged)


def forged_with_another_secret(gate: redis.Redis, sale: Sale) -> None:
    text = text_of(gate, sale)[SEAL_CHARS:].replace(f'"price":{PRICE}'.encode(), b'"price":1')
    gate.set(keys_of(sale).card, b"0" * SEAL_CHARS + text)


def without_a_code(gate: redis.Redis, sale: Sale) -> None:
    gate.set(keys_of(sale).card, text_of(gate, sale)[SEAL_CHARS:])


def no_card(gate: redis.Redis, sale: Sale) -> None:
    gate.set(keys_of(sale).card, b"{}")


def lost_card(gate: redis.Redis, sale: Sale) -> None:
    gate.delete(keys_of(sale).card)


def lost_entry(gate: redis.Redis, sale: Sale) -> None:
    gate.hdel(DIRECTORY, sale.code)


def card_of_a_cheap_sale(gate: redis.Redis, sale: Sale) -> None:
    gate.set(keys_of(sale).card, gate.get(keys_of(cheap()).card))


def entry_of_a_cheap_sale(gate: redis.Redis, sale: Sale) -> None:
    gate.hset(DIRECTORY, sale.code, gate.hget(DIRECTORY, cheap().code))


def cheap() -> Sale:
    return lobby_sale(offers=[{"sku": PHONE, "name": "cheap", "price": 1}], max_entries=500)


FORGERIES = [
    price_of_one, forged_with_another_secret, without_a_code, no_card, lost_card, lost_entry, card_of_a_cheap_sale,
    entry_of_a_cheap_sale,
]  # fmt: skip


@pytest.mark.parametrize("fresh_process", [False, True], ids=["known", "fresh process"])
@pytest.mark.parametrize("forge", FORGERIES)
def test_a_changed_card_sells_nothing_at_its_price_and_is_written_again(
    gate: redis.Redis, forge: Callable[..., None], fresh_process: bool
) -> None:
    sale, (ani, _) = called("ani", "budi")
    honest = card_now(sale)
    place, where = ani.place, ani.line
    forge(gate, sale)
    read_again(fresh_process=fresh_process)
    assert card_now(sale) == (None if fresh_process else honest)
    assert Reservation.objects.count() == 0
    restored()
    assert card_now(sale) == honest
    assert (ani.place, ani.line) == (place, where)
    assert ani.reserve().amount == PRICE
    assert Reservation.objects.get().amount == PRICE
    assert broken(sale) == []


def test_a_card_is_refused_under_any_other_sales_code_and_after_any_change_of_a_byte() -> None:
    card = card_of(lobby_sale())
    sealed = card.seal()
    assert SaleCard.unseal(sealed, code=card.code) == card
    for other in (b"", sealed[:-1], sealed + b" ", b"{}", sealed[:SEAL_CHARS], sealed.replace(b"IDR", b"IDr")):
        with pytest.raises(ForgedCard):
            SaleCard.unseal(other, code=card.code)
    with pytest.raises(ForgedCard):
        SaleCard.unseal(sealed, code="another")


def test_a_secret_that_is_changed_makes_the_cards_written_again(settings: Any) -> None:
    sale, (ani, _) = called("ani", "budi")
    settings.SECRET_KEY = "another secret of fifty letters, which is not the first"
    read_again(fresh_process=True)
    assert card_now(sale) is None
    restored()
    assert ani.reserve().amount == PRICE


def test_an_old_card_of_the_sale_itself_reserves_nothing_and_is_replaced(gate: redis.Redis) -> None:
    sale, (ani, budi) = called("ani", "budi")
    old = gate.get(keys_of(sale).card)
    gate.flushall()
    bridge.run(tick.mend_all())
    tend(sale)
    tend(sale)
    gate.set(keys_of(sale).card, old)
    read_again(fresh_process=True)
    assert refusal(ani.reserve) is Outcome.NOT_READY
    assert in_books()["units"] == ["free", "free"]
    bridge.run(tick.mend_all())
    read_again()
    assert card_now(sale) == card_in_books(Sale.objects.select_related("campaign").get(pk=sale.pk))
    assert ani.reserve().amount == budi.reserve().amount == PRICE
    assert broken(sale) == []


def test_a_change_in_the_books_comes_into_the_card() -> None:
    sale = lobby_sale()
    rewrite(Sale.objects.filter(pk=sale.pk), name="another name")
    bridge.run(tick.mend_all())
    card = card_now(sale)
    assert card is not None
    assert card.name == "another name"


# --- What Redis says besides the card ------------------------------------------------------------------------------


def test_a_dear_unit_that_is_offered_as_a_cheap_one_is_not_sold_and_goes_back_to_its_offer(gate: redis.Redis) -> None:
    sale = lobby_sale(stock={PHONE: 1, BIG_PHONE: 1}, max_entries=500)
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    dear = Unit.objects.get(sku=BIG_PHONE)
    keys = keys_of(sale)
    gate.delete(keys.free(1, PHONE), keys.free(1, BIG_PHONE))
    gate.zadd(keys.free(1, PHONE), {str(dear.pk): dear.version})
    assert refusal(ani.reserve) is Outcome.OFFER_GONE
    assert in_books()["units"] == ["free", "free"]
    assert Reservation.objects.exclude(state="abandoned").count() == 0
    dear.refresh_from_db()
    assert gate.zrange(keys.free(1, BIG_PHONE), 0, -1, withscores=True) == [(str(dear.pk).encode(), dear.version)]
    assert gate.zcard(keys.free(1, PHONE)) == 0


@pytest.mark.parametrize("hold_ms", [1, 900_001, 10**9])
def test_a_hold_of_another_length_is_not_committed(gate: redis.Redis, hold_ms: int) -> None:
    sale, (ani, _) = called("ani", "budi")
    gate.hset(keys_of(sale).state, "hold", hold_ms)
    assert refusal(ani.reserve) is Outcome.NOT_READY
    assert in_gate(sale) == {"offered": 2, "held": 0, "sold": 0, "used": []}
    assert in_books()["units"] == ["free", "free"]


def test_nothing_is_reserved_in_a_line_before_its_own_opening_whatever_redis_says(gate: redis.Redis) -> None:
    opens = timezone.now() + timedelta(hours=1)
    late = line("late", 2, channel="akulaku", opens_at=opens + timedelta(minutes=30))
    sale = sale_of(line("early", 1), late, opens_at=opens, closes_at=opens + timedelta(hours=1))
    ani = Shopper(sale, "ani", channel="akulaku", line="late")
    ani.enter()
    open_now(sale)
    assert refusal(ani.reserve) is Outcome.NOT_OPEN
    gate.hset(keys_of(sale).line(2), "opens", 0)
    assert ani.look().state == "waiting"
    seed = Allocation.objects.get(sale=sale, code="late").seed
    bridge.run(scripts.call(ani.card, ani.line, seed=seed, called=0, people=1, removed=0))
    assert refusal(ani.reserve) is Outcome.NOT_READY
    assert Reservation.objects.exclude(state="abandoned").count() == 0
    assert set(Unit.objects.values_list("state", flat=True)) == {"free"}


def forge_request(gate: redis.Redis, sale: Sale, **fields: Any) -> None:
    """Changes what Redis holds for the only request that was taken."""
    key = keys_of(sale).held_requests
    ((name, text),) = gate.hgetall(key).items()
    held = json.loads(text)
    held["request"] |= {field: value for field, value in fields.items() if field in held["request"]}
    held |= {field: value for field, value in fields.items() if field not in held["request"]}
    gate.hset(key, name, json.dumps(held))


@pytest.mark.parametrize(
    "fields",
    [
        {"limit_slots": []},
        {"limit_slots": [["phone", "00" * 16]]},
        {"channel_id": "mi-store"},
        {"deadline_ms": 10**14},
    ],
)
def test_a_request_that_is_changed_in_redis_before_its_retry_is_not_committed(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    sale, (ani, _) = called("ani", "budi")
    dying(monkeypatch, Writer, "submit", ani.reserve)
    if "channel_id" in fields:
        fields = {"channel_id": sale.campaign.channels.get(code=fields["channel_id"]).pk}
    forge_request(gate, sale, **fields)
    assert refusal(ani.reserve) is Outcome.NOT_READY
    assert Reservation.objects.exclude(state="abandoned").count() == 0
    assert in_books()["units"] == ["free", "free"]


# --- The writer alone ----------------------------------------------------------------------------------------------


def cheaper(gate: LyingGate) -> dict[str, Any]:
    return {"units": (ReservedUnit(gate.units[0].pk, 1, PHONE, 1),)}


def dearer(gate: LyingGate) -> dict[str, Any]:
    return {"units": (ReservedUnit(gate.units[0].pk, 1, PHONE, PRICE + 1),)}


def of_another_offer(gate: LyingGate) -> dict[str, Any]:
    return {"units": (ReservedUnit(gate.units[0].pk, 1, "no-such-thing", PRICE),)}


def nothing(gate: LyingGate) -> dict[str, Any]:
    return {"units": ()}


def another_limit(gate: LyingGate) -> dict[str, Any]:
    slots = gate.winner(0).limit_slots
    return {"limit_slots": tuple(replace(slot, limit=5) for slot in slots)}


def one_axis_less(gate: LyingGate) -> dict[str, Any]:
    return {"limit_slots": gate.winner(0).limit_slots[1:]}


def one_axis_twice(gate: LyingGate) -> dict[str, Any]:
    first, second = gate.winner(0).limit_slots
    return {"limit_slots": (first, second, replace(second, digest="another"))}


def another_scope(gate: LyingGate) -> dict[str, Any]:
    scope = LimitSlot.campaign_scope(10**6)
    return {"limit_slots": tuple(replace(slot, scope=scope) for slot in gate.winner(0).limit_slots)}


def another_channel(gate: LyingGate) -> dict[str, Any]:
    return {"channel": gate.sale.campaign.channels.get(code="akulaku").pk}


def another_line(gate: LyingGate) -> dict[str, Any]:
    return {"allocation": lobby_sale().allocations.get().pk}


def too_early(gate: LyingGate) -> dict[str, Any]:
    honest = gate.winner(0)
    return {"made_ms": honest.made_ms - 1, "deadline_ms": honest.deadline_ms - 1}


def too_long(gate: LyingGate) -> dict[str, Any]:
    return {"deadline_ms": gate.winner(0).deadline_ms + 1}


LIES = [
    cheaper, dearer, of_another_offer, nothing, another_limit, one_axis_less, one_axis_twice, another_scope,
    another_channel, another_line, too_early, too_long,
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_the_writer_refuses_a_lie_and_commits_the_honest_reservation_beside_it(
    lie: Callable[..., dict[str, Any]],
) -> None:
    gate = LyingGate()
    false: NewReservation = gate.winner(0, **lie(gate))
    true = gate.winner(1)
    answers = reservations.commit([false, true])
    assert answers == {false.id: Outcome.NOT_READY, true.id: Outcome.RESERVED}
    assert [row.pk for row in Reservation.objects.all()] == [true.id]
    assert Unit.objects.filter(state="held").count() == 1


def test_a_sale_with_a_limit_of_its_own_needs_the_slots_of_both_limits() -> None:
    gate = LyingGate(campaign=poco_campaign(limit=2), limit=1)
    one = tuple(replace(slot, limit=2) for slot in gate.winner(0).limit_slots)
    both = one + tuple(replace(slot, scope=LimitSlot.sale_scope(gate.sale.pk), limit=1) for slot in one)
    false, true = gate.winner(0, limit_slots=one), gate.winner(1, limit_slots=both)
    assert reservations.commit([false, true]) == {false.id: Outcome.NOT_READY, true.id: Outcome.RESERVED}


# --- Paying and the audit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [1, PRICE])
def test_a_reservation_with_another_amount_is_not_paid(expected: int) -> None:
    sale, (ani, _) = called("ani", "budi")
    held = ani.reserve().id
    Reservation.objects.filter(pk=held).update(amount=1)
    ReservationUnit.objects.filter(reservation=held).update(price=1)
    assert refusal(pay, ani, held, price=expected) is Outcome.WRONG_PRICE
    assert (PaymentAttempt.objects.count(), DemoCharge.objects.count()) == (0, 0)
    assert Reservation.objects.get().state == "held"
    assert len(broken(sale)) == 2


def cheap_unit() -> None:
    ReservationUnit.objects.filter(active=True).update(price=1)


def cheap_reservation() -> None:
    Reservation.objects.update(amount=1)
    PaymentAttempt.objects.update(amount=1)


def cheap_payment() -> None:
    PaymentAttempt.objects.update(amount=1)


def cheap_offer() -> None:
    rewrite(Offer.objects.all(), price=1)


@pytest.mark.parametrize(
    ("act", "paid"),
    [
        *((act, paid) for act in (cheap_unit, cheap_reservation, cheap_offer) for paid in (False, True)),
        (cheap_payment, True),
    ],
)
def test_the_audit_finds_a_price_that_is_not_the_official_one(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], paid: bool
) -> None:
    monkeypatch.setattr(audit, "READS", 1)
    sale, (ani, _) = called("ani", "budi")
    if paid:
        buy(ani)
    else:
        ani.reserve()
    act()
    found = {f.promise: f.broken for f in audit.audit() if f.verdict is audit.Verdict.BROKEN}
    assert set(found) == {1}
    assert all("1" in text for text in found[1])
    assert sale.pk
