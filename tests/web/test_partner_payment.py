"""A partner that charges its own buyers: its word is the payment, and a refund is its duty."""

from decimal import Decimal
from typing import Any

import pytest

from flashsale.gate import bridge, scripts
from flashsale.gate.client import gate as gate_of_loop
from flashsale.life import confirm as confirming
from flashsale.life import expire, judge_payment
from flashsale.life.refund import refund_due
from flashsale.models import DemoCharge, PaymentAttempt, Refund, Reservation, Sale, Unit
from flashsale.providers import payments
from flashsale.rules import wall_clock
from flashsale.rules.clock import hold_grace_ms
from tests.factories import card_of, end_now, identity, lobby_sale, open_now, poco_campaign
from tests.faults.steps import broken, dies, reap, the_payment
from tests.web.partner import ORDER, Partner, Shop, called_at, contact_of, hot

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PAID = ORDER | {"method": "partner", "instrument": "LZD-1001"}


@pytest.fixture
def sale(transactional_db: None, gate: Any) -> Sale:
    channels = [
        {"code": "lazada", "name": "Lazada", "payment_accounts": "partner"},
        {"code": "akulaku", "name": "Akulaku", "payment_accounts": "partner,demo"},
    ]
    return lobby_sale(poco_campaign(channels=channels), channels=("lazada", "akulaku"))


@pytest.fixture
def held(sale: Sale, lazada: Partner) -> str:
    place = lazada.enter("ani")
    for _frozen_then_called in range(2):
        open_now(sale)
    return str(lazada.reserve(place).json["reservation"])


def test_its_word_confirms_the_order_and_no_provider_is_called(sale: Sale, lazada: Partner, held: str) -> None:
    reply = hot(lazada, held, PAID)
    shown = reply.json["payment"]
    assert (reply.status, reply.json["state"], shown["method"], shown["state"]) == (200, "confirmed", "partner", "paid")
    assert (the_payment().account, the_payment().paid, DemoCharge.objects.count()) == ("partner", Decimal(1_799_000), 0)
    assert hot(lazada, held, PAID).body == reply.body
    assert broken(sale) == []


@pytest.mark.parametrize("instrument", ["x" * 101, "a\tb", "é"])
def test_a_reference_that_is_none_is_refused(lazada: Partner, held: str, instrument: str) -> None:
    assert hot(lazada, held, PAID | {"instrument": instrument}).code == (400, "malformed")
    assert not PaymentAttempt.objects.exists()


def test_a_channel_pays_only_by_its_own_accounts(lazada: Partner, held: str) -> None:
    refused = hot(lazada, held, ORDER)
    assert (refused.code, refused.json["detail"]) == ((400, "malformed"), "method: one of partner.")
    assert Reservation.objects.get().state == "held"


def test_one_payment_buys_one_order_of_the_channel(sale: Sale, lazada: Partner) -> None:
    _, people = called_at(lazada, sale, 3)
    bodies = [PAID | {"identity": who, "contact": contact_of(who)} for _, who in people]
    replies = [hot(lazada, id_, body, key=id_) for (id_, _), body in zip(people, bodies, strict=True)]
    assert [reply.status for reply in replies] == [200, 422, 422]
    assert {reply.json["code"] for reply in replies[1:]} == {"key_reused"}
    assert sorted(Reservation.objects.values_list("state", flat=True)) == ["confirmed", "held", "held"]
    assert hot(lazada, people[1][0], bodies[1] | {"instrument": "LZD-1002"}, key="again").status == 200
    assert broken(sale) == []


def test_the_payment_that_is_named_last_pays_where_the_first_was_not_settled(
    sale: Sale, lazada: Partner, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: Any) -> Any:
        raise payments.ProviderDown("the process ended here")

    with monkeypatch.context() as ending:
        ending.setattr(payments.PartnerProvider, "begin", lost)
        assert hot(lazada, held, PAID).code == (503, "unknown")
    assert the_payment().state == "asked"
    assert hot(lazada, held, PAID | {"instrument": "LZD-1002"}, key="k2").json["state"] == "confirmed"
    names = PaymentAttempt.objects.order_by("number").values_list("state", "provider_id")
    channel = Reservation.objects.get().channel_id
    assert list(names) == [("closed", f"{channel}:LZD-1001"), ("paid", f"{channel}:LZD-1002")]
    (id_, who), *_ = called_at(lazada, sale, 1)[1]
    body = PAID | {"identity": who, "contact": contact_of(who)}
    reused = hot(lazada, id_, body | {"instrument": "LZD-1002"}, key="k3")
    assert (reused.code, hot(lazada, id_, body, key="k4").status) == ((422, "key_reused"), 200)
    assert broken(sale) == []


def test_a_second_payment_for_a_confirmed_order_is_refused_and_the_first_one_may_be_repeated(
    sale: Sale, lazada: Partner, held: str
) -> None:
    first = hot(lazada, held, PAID)
    assert first.json["state"] == "confirmed"
    for key in ("k2", "k2", "k3"):
        second = hot(lazada, held, PAID | {"instrument": "LZD-1002"}, key=key)
        assert (second.code, second.json["detail"]) == ((409, "not_held"), judge_payment.PAID_BEFORE)
    # A partner that has lost the answer repeats its payment, under the same key or under another one.
    assert hot(lazada, held, PAID).body == first.body
    assert hot(lazada, held, PAID, key="k4").json["payment"] == first.json["payment"]
    assert (the_payment().state, the_payment().provider_id) == (
        "paid",
        f"{Reservation.objects.get().channel_id}:LZD-1001",
    )
    assert broken(sale) == []
    # The refused payment is free: it may pay for another order of the channel.
    ((id_, who),) = called_at(lazada, sale, 1)[1]
    other = PAID | {"identity": who, "contact": contact_of(who), "instrument": "LZD-1002"}
    assert hot(lazada, id_, other, key="k5").json["state"] == "confirmed"


def test_a_partners_payment_for_an_order_that_a_provider_has_paid_is_refused(sale: Sale, akulaku: Partner) -> None:
    _, ((held, who),) = called_at(akulaku, sale, 1)
    body = ORDER | {"identity": who | {"address": "Jl. Melati 1"}, "contact": contact_of(who)}
    assert hot(akulaku, held, body).json["state"] == "confirmed"
    own = body | {"method": "partner", "instrument": "A-1"}
    assert hot(akulaku, held, own, key="k2").code == (409, "not_held")
    # Another method of a provider charges nothing, so the caller gets the order.
    assert hot(akulaku, held, body | {"instrument": "tok_other"}, key="k3").json["state"] == "confirmed"
    assert (the_payment().account, the_payment().state, DemoCharge.objects.count()) == ("demo", "paid", 1)
    assert broken(sale) == []


def test_another_channel_may_use_the_same_reference(sale: Sale, lazada: Partner, akulaku: Partner) -> None:
    places = [(lazada, lazada.enter("ani")), (akulaku, akulaku.enter("budi"))]
    for _frozen_then_called in range(2):
        open_now(sale)
    for partner, place in places:
        id_, name = str(partner.reserve(place).json["reservation"]), "ani" if partner is lazada else "budi"
        who = _who(name)
        assert hot(partner, id_, PAID | {"identity": who, "contact": contact_of(who)}).status == 200


def _past_deadline(sale: Sale, ids: list[str], *, by_ms: int) -> None:
    """The deadlines of these holds passed so long ago, in PostgreSQL and Redis."""
    at = Sale.objects.select_related("clock").get(pk=sale.pk).line_ms(wall_clock.now_ms()) - by_ms
    Reservation.objects.filter(pk__in=ids).update(deadline_ms=at)
    due = scripts.keys_of(card_of(sale)).due

    async def in_redis() -> None:
        await gate_of_loop().redis.zadd(due, dict.fromkeys(ids, at))

    bridge.run(in_redis())


def test_a_confirmation_that_got_no_answer_in_time_is_sent_again_a_little_after_the_deadline(
    sale: Sale, lazada: Partner, akulaku: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline passes between the first try and the next. No unit gets a second owner."""
    grace_ms = hold_grace_ms(sale.hold_s * 1000)
    _, people = called_at(lazada, sale, 4)
    ids = [id_ for id_, _ in people]
    bodies = [
        PAID | {"identity": who, "contact": contact_of(who), "instrument": f"LZD-{n}"}
        for n, (_, who) in enumerate(people)
    ]
    with monkeypatch.context() as patch:  # the door dies when the payment has begun, and nothing is settled
        patch.setattr(confirming, "settle", dies)
        assert hot(lazada, ids[0], bodies[0], key=ids[0]).status == 500
    assert (states(ids[:1]), the_payment().state) == (["held"], "asked")
    _past_deadline(sale, ids[:3], by_ms=grace_ms // 2)
    _past_deadline(sale, ids[3:], by_ms=grace_ms + 1)
    assert reap(sale) == 1
    assert states(ids) == ["held", "held", "held", "expired"]
    assert hot(lazada, ids[0], bodies[0], key=ids[0]).json["state"] == "confirmed"
    assert hot(lazada, ids[1], bodies[1], key=ids[1]).json["state"] == "confirmed"
    assert hot(lazada, ids[3], bodies[3], key=ids[3]).code == (409, "expired")
    with monkeypatch.context() as patch:  # the control: without the grace
        patch.setattr(judge_payment, "hold_grace_ms", lambda _: 0)
        patch.setattr(expire, "hold_grace_ms", lambda _: 0)
        assert hot(lazada, ids[2], bodies[2], key=ids[2]).code == (409, "expired")
        assert reap(sale) == 1
    assert states(ids) == ["confirmed", "confirmed", "expired", "expired"]
    assert hot(lazada, ids[2], bodies[2], key=ids[2]).code == (409, "expired")
    assert sorted(Unit.objects.filter(allocation__code="lazada").values_list("state", flat=True))[-2:] == ["sold"] * 2
    assert broken(sale) == []


def test_other_payments_begin_before_the_deadline_or_not_at_all(sale: Sale, akulaku: Partner) -> None:
    _, ((held, who),) = called_at(akulaku, sale, 1)
    body = ORDER | {"identity": who | {"address": "Jl. Melati 1"}, "contact": contact_of(who)}
    _past_deadline(sale, [held], by_ms=1)
    assert hot(akulaku, held, body).code == (409, "expired")
    assert (states([held]), PaymentAttempt.objects.count()) == (["held"], 0)
    by_partner = body | {"method": "partner", "instrument": "A-1"}
    assert hot(akulaku, held, by_partner, key="k2").json["state"] == "confirmed"
    assert broken(sale) == []


def states(ids: list[str]) -> list[str]:
    return [Reservation.objects.get(pk=id_).state for id_ in ids]


def _who(name: str) -> dict[str, str]:

    return {axis.value: value for axis, value in identity(name).items()}


def test_a_refund_is_its_duty_until_it_says_that_it_is_done(
    sale: Sale, lazada: Partner, akulaku: Partner, held: str
) -> None:
    hot(lazada, held, PAID)
    end_now(sale)
    shop = Shop(lazada)
    cancelled = shop.post(held, "cancel", {"reason": "buyer_request"}, key="c").json()
    (duty,) = cancelled["payment"]["refunds"]
    assert (cancelled["payment"]["state"], duty["amount"], duty["state"]) == ("refund_due", 1_799_000, "due")
    assert [refund_due(), refund_due()] == [1, 0]
    assert shop.get(f"/{held}").json()["payment"]["refunds"][0]["state"] == "sent"
    answer = {"refund": duty["reference"], "reference": "LZD-R-1"}
    assert Shop(akulaku).post(held, "refund", answer).status_code == 404
    assert shop.post(held, "refund", answer | {"refund": "another"}, key="x").status_code == 404
    for key in ("r1", "r1", "r2"):
        done = shop.post(held, "refund", answer, key=key)
        shown = done.json()["payment"]
        assert (done.status_code, shown["state"], shown["refund_reference"]) == (200, "refunded", "LZD-R-1")
    assert Refund.objects.get().state == "confirmed"


def test_a_payment_of_a_provider_is_not_refunded_by_a_partners_word(sale: Sale, akulaku: Partner) -> None:
    place = akulaku.enter("ani")
    for _frozen_then_called in range(2):
        open_now(sale)
    id_ = str(akulaku.reserve(place).json["reservation"])
    shop = Shop(akulaku)
    assert shop.post(id_, "confirm", ORDER).json()["payment"]["state"] == "paid"
    (duty,) = shop.post(id_, "cancel", {"reason": "buyer_request"}, key="c").json()["payment"]["refunds"]
    answer = {"refund": duty["reference"], "reference": "AKU-1"}
    assert shop.post(id_, "refund", answer, key="r").status_code == 404
    assert Refund.objects.get().state == "due"
