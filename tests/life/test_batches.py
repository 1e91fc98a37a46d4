"""Start and settle take many orders in one commit, and do the same as for each of them alone."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from flashsale.books.endings import end_all
from flashsale.life import settle, start_payment
from flashsale.life.payment_request import CallKey, Started, StartRequest
from flashsale.life.settle import Answer, Reply, settle_all
from flashsale.life.start_payment import start_all
from flashsale.models import (
    ApiCall,
    Channel,
    Contact,
    LimitSlot,
    PaymentAttempt,
    Refund,
    Reservation,
    Sale,
    Trait,
    Unit,
)
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import ReservationState
from tests import soak
from tests.factories import poco_campaign
from tests.faults.steps import broken, called
from tests.life.buyers import PRICE, buyer, payment_choice

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
AXES = {Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter", Axis.PAYMENT: "hard confirm", Axis.ADDRESS: "soft confirm"}
CHANNELS = (
    {"code": "lazada", "name": "Lazada", "payment_accounts": "demo,partner"},
    {"code": "akulaku", "name": "Aku"},
)
PEOPLE = [f"person-{number:02d}" for number in range(16)]
BATCH = 64
SEEDS = range(soak.SEED, soak.SEED + (20 if soak.SEED else 3))
Work = Callable[[Sequence[Any]], list[Any]]


def one_by_one(work: Work) -> Work:
    """Each item alone. A reservation that comes again waits for all others, as in a batch."""

    def alone(items: Sequence[Any]) -> list[Any]:
        seen: Counter[Any] = Counter()
        order: list[tuple[int, int]] = []
        for at, item in enumerate(items):
            order.append((seen[item[0]], at))
            seen[item[0]] += 1
        answers = {at: work([items[at]])[0] for _, at in sorted(order)}
        return [answers[at] for at in range(len(items))]

    return alone


class World:
    """A sale in which each of these people holds a unit. Two worlds with the same people differ in their ids only."""

    def __init__(self) -> None:
        campaign = poco_campaign(axes=AXES, limit=2, channels=CHANNELS)
        self.sale: Sale
        self.sale, people = called(*PEOPLE, stock=2 * len(PEOPLE), campaign=campaign)
        people.sort(key=lambda person: person.name)
        self.held = [person.reserve(key=f"hold-{person.name}").id for person in people]
        self.channel = people[0].channel.id
        self.other = Channel.objects.get(campaign=campaign, code="akulaku").pk
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
        channel = self.other if step.get("foreign") else self.channel
        call = CallKey(channel, step["key"], repr(sorted(step.items())).ljust(64)[:64])
        return StartRequest(self.held[step["who"]], channel, who, choice, call)

    def settles(self, steps: Sequence[tuple[int, payments.Standing]], work: Work) -> list[Any]:
        answers = [Answer(self.references.get(who, "none"), standing) for who, standing in steps]
        return [_word(answer) for answer in work(answers)]

    def ends(self, who: Sequence[int], state: str) -> None:
        """The time of these holds is over; `expired`: PostgreSQL has ended them already."""
        rows = Reservation.objects.filter(pk__in=[self.held[n] for n in who], state="held")
        if state == "late":
            rows.update(deadline_ms=1)
        else:
            with transaction.atomic():
                end_all(list(rows.select_for_update()), state=ReservationState(state), now=timezone.now())

    def seen(self) -> Any:
        """All rows of this world, in words that are the same in another one."""
        number = {id_: place for place, id_ in enumerate(self.held)}
        own = {"reservation__sale": self.sale}
        attempts = {a.reference: a for a in PaymentAttempt.objects.filter(**own)}
        named = {reference: (number[a.reservation_id], a.number) for reference, a in attempts.items()}
        return [
            sorted((number[r.pk], r.state, bool(r.confirmed_at)) for r in Reservation.objects.filter(sale=self.sale)),
            sorted(Unit.objects.filter(allocation__sale=self.sale).values_list("state", "version")),
            sorted(
                (
                    *named[a.reference], a.state, a.account, a.method, a.amount, a.currency, str(a.paid), str(a.fee),
                    a.provider_id.partition(":")[2], bool(a.turn_at), bool(a.next_look_at), bool(a.settled_at),
                    a.instructions is not None, str(a.payment_state),
                )
                for a in attempts.values()
            ),
            sorted(
                (*named[r.attempt.reference], r.why, r.amount, r.state, r.times, bool(r.next_look_at))
                for r in Refund.objects.filter(attempt__reservation__sale=self.sale).select_related("attempt")
            ),
            sorted((number[id_], axis) for id_, axis in Trait.objects.filter(**own).values_list("reservation", "axis")),
            sorted(
                (number[id_], *rest)
                for id_, *rest in LimitSlot.objects.filter(**own).values_list("reservation", "axis", "slot", "limit")
            ),
            sorted((number[c.reservation_id], *sorted(c.read().items())) for c in Contact.objects.filter(**own)),
            sorted(
                (c.key, c.channel_id == self.channel, c.answer is None, named.get(c.attempt, ()))
                for c in ApiCall.objects.filter(channel__in=[self.channel, self.other])
            ),
        ]  # fmt: skip


def _word(answer: Any) -> Any:
    if isinstance(answer, Refused):
        return answer.outcome
    if isinstance(answer, Started):
        return answer.then, answer.row.state, answer.attempt and answer.attempt.number
    if isinstance(answer, settle.Settled):
        return answer.row.state, answer.attempt.state, answer.is_late
    return type(answer).__name__


def some_starts(rng: random.Random) -> list[dict[str, Any]]:
    """Requests of which most are good: also with a wrong price, method, identity, channel or key, and some twice."""

    def one() -> dict[str, Any]:
        who = rng.randrange(len(PEOPLE))
        method = rng.choice(["qris", "qris", "va", "barter", "partner", "partner"])
        return {
            "who": who, "as": who if rng.random() < 0.9 else rng.randrange(len(PEOPLE)),
            "card": f"card-{rng.randrange(12)}", "address": f"Jl. Melati No. {rng.randrange(3)}",
            "nameless": rng.random() < 0.05, "foreign": rng.random() < 0.05,
            "price": PRICE if rng.random() < 0.9 else 1, "method": method, "key": f"{who}-{rng.randrange(4)}",
        }  # fmt: skip

    steps = [one() for _ in range(rng.choice([3, 20, BATCH - 10]))]
    return steps + [rng.choice(steps) for _ in range(rng.randrange(10))]


def some_answers(rng: random.Random) -> list[tuple[int, payments.Standing]]:
    """What providers say: of most that they are paid, of some that they are declined, and some twice."""
    states = list(payments.StandingState)
    weights = [4 if state is payments.StandingState.PAID else 1 for state in states]

    def one() -> tuple[int, payments.Standing]:
        paid = Decimal(rng.choice([PRICE, PRICE, PRICE, PRICE + 500, PRICE - 1]))
        (state,) = rng.choices(states, weights)
        shown = payments.Instructions("va", number="88") if state is payments.StandingState.WAITING else None
        currency, fee = rng.choice(["IDR"] * 9 + ["USD"]), rng.choice([None, Decimal(700)])
        return rng.randrange(len(PEOPLE)), payments.Standing(state, "", paid, currency, fee, instructions=shown)

    return [one() for _ in range(rng.choice([3, 20, BATCH]))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_does_what_each_of_its_orders_does_alone(seed: int) -> None:
    together, alone = World(), World()
    rng, words = random.Random(seed), Counter[str]()
    for _ in range(3):
        starts, answers = some_starts(rng), some_answers(rng)
        started = together.starts(starts, start_all)
        assert started == alone.starts(starts, one_by_one(start_all))
        over, state = rng.sample(range(len(PEOPLE)), 3), rng.choice(["late", "expired", "released"])
        for world in (together, alone):
            world.ends(over, state)
        settled = together.settles(answers, settle_all)
        assert settled == alone.settles(answers, one_by_one(settle_all))
        assert together.seen() == alone.seen()
        words.update(str(word) for word in (*started, *settled))
    assert len(words) >= 15, "most kinds of answers"
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
