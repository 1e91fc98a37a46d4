"""Start and settle take many orders in one commit, and do the same as for each of them alone."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flashsale.life import settle, start_payment
from flashsale.life.payment_request import CallKey, Started, StartRequest
from flashsale.life.settle import Answer, Reply, settle_all
from flashsale.life.start_payment import start_all
from flashsale.models import ApiCall, Contact, LimitSlot, PaymentAttempt, Refund, Reservation, Sale, Trait, Unit
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Refused
from tests.factories import poco_campaign
from tests.faults.steps import broken, called
from tests.life.buyers import PRICE, buyer, payment_choice

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
AXES = {Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter", Axis.PAYMENT: "hard confirm", Axis.ADDRESS: "soft confirm"}
PEOPLE = [f"person-{number}" for number in range(8)]
Work = Callable[[Sequence[Any]], list[Any]]


def one_by_one(work: Work) -> Work:
    return lambda items: [work([item])[0] for item in items]


class World:
    """A sale in which eight people hold a unit each. Two worlds with the same people differ in their ids only."""

    def __init__(self) -> None:
        campaign = poco_campaign(axes=AXES, limit=2)
        self.sale: Sale
        self.sale, people = called(*PEOPLE, stock=2 * len(PEOPLE), campaign=campaign)
        people.sort(key=lambda person: person.name)
        self.held = [person.reserve(key=f"hold-{person.name}").id for person in people]
        self.channel = people[0].channel.id
        self.references: dict[int, str] = {}

    def starts(self, steps: Sequence[dict[str, Any]], start: Work) -> list[Any]:
        found = start([self._request(step) for step in steps])
        for step, answer in zip(steps, found, strict=True):
            if isinstance(answer, Started) and answer.attempt is not None:
                self.references[step["who"]] = answer.attempt.reference
        return [_word(answer) for answer in found]

    def _request(self, step: dict[str, Any]) -> StartRequest:
        who = buyer(PEOPLE[step["as"]], payment=step["card"], address=step["address"])
        if step["nameless"]:
            who = replace(who, contact={**who.contact, "name": ""})
        choice = payment_choice(price=step["price"], method=step["method"], instrument=step["card"])
        call = CallKey(self.channel, step["key"], repr(sorted(step.items())).ljust(64)[:64])
        return StartRequest(self.held[step["who"]], self.channel, who, choice, call)

    def settles(self, steps: Sequence[tuple[int, payments.Standing]], work: Work) -> list[Any]:
        answers = [Answer(self.references.get(who, "none"), standing) for who, standing in steps]
        return [_word(answer) for answer in work(answers)]

    def seen(self) -> Any:
        """All rows of this world, in words that are the same in another one."""
        number = {id_: place for place, id_ in enumerate(self.held)}
        own = {"reservation__sale": self.sale}
        return [
            sorted((number[row.pk], row.state) for row in Reservation.objects.filter(sale=self.sale)),
            sorted(Unit.objects.filter(allocation__sale=self.sale).values_list("state", "version")),
            sorted(
                (number[a.reservation_id], a.number, a.state, a.method, a.paid, str(a.payment_state))
                for a in PaymentAttempt.objects.filter(**own)
            ),
            sorted(Refund.objects.filter(attempt__reservation__sale=self.sale).values_list("why", "amount", "state")),
            sorted((number[id_], axis) for id_, axis in Trait.objects.filter(**own).values_list("reservation", "axis")),
            sorted(
                (number[id_], axis) for id_, axis in LimitSlot.objects.filter(**own).values_list("reservation", "axis")
            ),
            sorted((number[c.reservation_id], c.read()["name"]) for c in Contact.objects.filter(**own)),
            sorted((c.key, bool(c.attempt)) for c in ApiCall.objects.filter(channel=self.channel)),
        ]


def _word(answer: Any) -> Any:
    if isinstance(answer, Refused):
        return answer.outcome
    if isinstance(answer, Started):
        return answer.then, answer.row.state, answer.attempt and answer.attempt.number
    if isinstance(answer, settle.Settled):
        return answer.row.state, answer.attempt.state, answer.is_late
    return type(answer).__name__


def some_starts(rng: random.Random) -> list[dict[str, Any]]:
    def one() -> dict[str, Any]:
        who = rng.randrange(len(PEOPLE))
        return {
            "who": who, "as": who if rng.random() < 0.9 else rng.randrange(len(PEOPLE)),
            "card": f"card-{rng.randrange(4)}", "address": f"Jl. Melati No. {rng.randrange(3)}",
            "nameless": rng.random() < 0.05,
            "price": PRICE if rng.random() < 0.9 else 1, "method": rng.choice(["qris", "qris", "va", "barter"]),
            "key": f"key-{rng.randrange(20)}",
        }  # fmt: skip

    return [one() for _ in range(rng.randrange(1, 16))]


def some_answers(rng: random.Random) -> list[tuple[int, payments.Standing]]:
    states = list(payments.StandingState)
    weights = [4 if state is payments.StandingState.PAID else 1 for state in states]

    def one() -> tuple[int, payments.Standing]:
        paid = Decimal(rng.choice([PRICE, PRICE, PRICE, PRICE + 500, PRICE - 1]))
        (state,) = rng.choices(states, weights)
        return rng.randrange(len(PEOPLE)), payments.Standing(state, "", paid, rng.choice(["IDR"] * 9 + ["USD"]))

    return [one() for _ in range(rng.randrange(1, 16))]


@pytest.mark.parametrize("seed", range(6))
def test_a_batch_does_what_each_of_its_orders_does_alone(seed: int) -> None:
    together, alone = World(), World()
    rng = random.Random(seed)
    for _ in range(5):
        starts, answers = some_starts(rng), some_answers(rng)
        assert together.starts(starts, start_all) == alone.starts(starts, one_by_one(start_all))
        assert together.settles(answers, settle_all) == alone.settles(answers, one_by_one(settle_all))
        assert together.seen() == alone.seen()
    assert [*broken_but_unheard(together.sale), *broken_but_unheard(alone.sale)] == []


def broken_but_unheard(sale: Sale) -> list[str]:
    """What an audit finds, except that Redis was told nothing: these tests call the steps in PostgreSQL only."""
    return [line for line in broken(sale) if "Redis" not in line]


def test_a_row_that_the_tables_refuse_refuses_its_own_order_and_not_the_batch() -> None:
    world = World()
    step = {"card": "one", "address": "x", "nameless": False, "price": PRICE, "method": "qris"}
    steps = [step | {"who": who, "as": who, "key": f"k{who}"} for who in range(4)]
    words = world.starts(steps, start_all)
    assert [word for word in words if word == "limit_reached"] == ["limit_reached"] * 2, "a card buys two at most"
    assert sorted(bool(call.attempt) for call in ApiCall.objects.all()) == [False, False, True, True], "all keys stay"
    paid = payments.Standing(payments.StandingState.PAID, "", Decimal(PRICE), "IDR")
    Unit.objects.filter(pk=Reservation.objects.get(pk=world.held[0]).reservation_units.get().unit_id).update(
        state="free"
    )
    assert world.settles([(0, paid), (1, paid)], settle_all) == ["RefusedByBooks", ("confirmed", "paid", False)]
    assert PaymentAttempt.objects.get(reservation=world.held[0]).state == "asked"


def test_a_bad_request_costs_the_others_of_its_batch_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world, sizes = World(), []
    start = start_payment._start

    def counted(requests: Any) -> Any:
        sizes.append(len(requests))
        return start(requests)

    monkeypatch.setattr(start_payment, "_start", counted)
    step = {"address": "x", "nameless": False, "method": "qris"}
    steps = [
        step | {"who": who, "as": who, "key": f"k{who}", "card": f"c{who}", "price": PRICE if who != 2 else 1}
        for who in range(5)
    ]
    words = world.starts(steps, start_all)
    assert (words[2], sizes) == ("wrong_price", [5])


def _number(order: settle.Order) -> str:
    return str(order.row.number)


def test_an_order_costs_two_commits_and_a_batch_one_statement_a_table() -> None:
    counts = []
    for people in (1, 6):
        world = World()
        step = {"address": "x", "nameless": False, "method": "qris", "price": PRICE}
        steps = [step | {"who": who, "as": who, "key": f"k{who}", "card": f"c{who}"} for who in range(people)]
        paid = payments.Standing(payments.StandingState.PAID, "", Decimal(PRICE), "IDR")
        with CaptureQueriesContext(connection) as queries:
            assert len(world.starts(steps, start_all)) == people
            replies = [Reply((world.channel, f"k{who}"), _number) for who in range(people)]
            answers = [Answer(world.references[who], paid, world.held[who], reply) for who, reply in enumerate(replies)]
            settled = settle_all(answers)
        assert [one.text for one in settled if isinstance(one, settle.Settled)] == [
            call.answer for call in ApiCall.objects.filter(channel=world.channel).order_by("key")
        ]
        statements = [query["sql"] for query in queries]
        assert sum(sql == "COMMIT" for sql in statements) == 2
        counts.append(len(statements))
    if connection.vendor == "postgresql":
        assert counts[0] == counts[1]
