"""The process dies at each crash point of confirm, cancel, roll-over and reallocation: the work is completed once."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db.models import F
from django.test import Client

from flashsale.gate import bridge, inspect
from flashsale.life import (
    cancel,
    confirm,
    crash_points,
    draw,
    inbox,
    index_blocks,
    reallocate,
    refund,
    sweep_payments,
    tick,
)
from flashsale.life.enter import digest_identity
from flashsale.life.index_blocks import BLOCK_MIN
from flashsale.models import (
    Cancellation,
    DemoCharge,
    Entries,
    Inbox,
    ListEntry,
    Move,
    Notice,
    PaymentAttempt,
    Record,
    Reservation,
    Sale,
    Unit,
)
from flashsale.providers import payments
from flashsale.rules import lottery
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from tests.beacons import CHAIN, Relay, forget_tries, freeze_is_now, round_comes, round_is_there
from tests.factories import (
    PHONE,
    Shopper,
    card_of,
    end_now,
    identity,
    lobby_sale,
    open_now,
    poco_campaign,
    refusal,
    roll_over_now,
    tend,
)
from tests.faults.steps import (
    ONE_HELD,
    broken,
    buy,
    called,
    come_due,
    dies_at,
    due_again,
    dying,
    in_gate,
    money_astray,
    nth,
    paid_by,
    paid_elsewhere,
    pay,
    reap,
    the_payment,
    told,
)
from tests.life.tranches import offered, rolling_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs/crash-points.md"
# How many units have moved in PostgreSQL when the process dies at this point.
ROLLING = [("roll over: withdrawn", 0), ("roll over: moved", 3), ("roll over: offered", 3)]
# What PostgreSQL has when the process dies at this point: a root, numbers.
DRAWING = {
    "draw: frozen": (False, False), "draw: committed": (True, False), "draw: root public": (True, False),
    "draw: round heard": (True, False), "draw: seed written": (True, True),
}  # fmt: skip
ONE_SOLD = {"offered": 1, "held": 0, "sold": 1, "used": [1, 1]}


def test_every_point_is_died_at_by_a_test_and_stands_in_the_table() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    died_at = {*re.findall(r'dies_at\(monkeypatch, "([^"]+)"', tests), *dict(ROLLING), *DRAWING}
    assert died_at == {point.name for point in crash_points.CRASH_POINTS}
    assert DOCUMENT.read_text(encoding="utf-8") == crash_points.table()


def test_dying_after_more_indexes_were_promised_continues_with_the_next_person_who_enters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sale = lobby_sale(stock={PHONE: 1}, max_entries=500)
    card = card_of(sale)
    people = [Shopper(sale, f"person-{n}") for n in range(BLOCK_MIN + 1)]
    for person in people[:-1]:
        person.enter()
    assert refusal(people[-1].enter) is Outcome.NO_ROOM
    extend_block_now = lambda: bridge.run(index_blocks.extend_block_now(card=card, line=card.lines[0]))  # noqa: E731
    dies_at(monkeypatch, "enter: block committed", extend_block_now)
    assert sale.allocations.get().block > BLOCK_MIN
    assert refusal(people[-1].enter) is Outcome.NO_ROOM
    extend_block_now()
    assert people[-1].enter().index == BLOCK_MIN + 1


@pytest.mark.parametrize("point", DRAWING)
def test_dying_while_the_lines_are_drawn_changes_no_root_and_gives_the_numbers_of_the_round(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings, client: Client, point: str
) -> None:
    with Relay() as relay:
        settings.FLASHSALE_BEACON_CHAIN, settings.FLASHSALE_BEACON_RELAYS = CHAIN, (relay.url,)
        sale = lobby_sale(draw_version=2, beacon="drand", max_entries=500)
        people = [Shopper(sale, name) for name in ("ani", "budi", "cici")]
        leaves = []
        for index, person in enumerate(people, start=1):
            person.enter()
            digests = digest_identity(card=person.card, values=identity(person.name))
            leaves.append(lottery.leaf(index, 0, [digests[Axis.PHONE], digests[Axis.EMAIL]]))
        root, asks_relays = lottery.tree_root(leaves).hex(), point not in {"draw: frozen", "draw: committed"}
        freeze_is_now(sale)
        if asks_relays:
            tend(sale)
            round_is_there(sale)
        dies_at(monkeypatch, point, lambda: bridge.run(draw.draw(card=card_of(sale))))
        roots = list(Entries.objects.values_list("root", flat=True))
        sale.refresh_from_db()
        assert (roots, sale.frozen_at is not None) == ([root] * DRAWING[point][0], DRAWING[point][1])
        assert [person.look().number for person in people] == [None] * 3
        late = Shopper(sale, "late")
        assert late.enter().index == 4
        forget_tries()
        tend(sale)
        if not asks_relays:
            round_comes(sale)
        transcript = lottery.read(client.get(f"/v1/sales/{sale.code}/transcript").content.decode())
        assert [check.statement for check in lottery.checks(transcript, CHAIN) if not check.holds] == []
        assert Entries.objects.get().root == transcript.lines["lazada"].root.hex() == root
        numbers = [lottery.number_in(transcript, line="lazada", index=index) for index in (1, 2, 3, 4)]
        assert [person.number() for person in [*people, late]] == numbers
        open_now(sale)
        tend(sale)
        assert (Record.objects.filter(sale=sale, what__in=["freeze", "draw"]).count(), broken(sale)) == (2, [])


class TestDyingWhileConfirming:
    @pytest.fixture
    def ani(self, gate: Any, transactional_db: None) -> Shopper:  # noqa: ARG002 - both must be there first
        _, (ani, _) = called("ani", "budi")
        return ani

    def test_continues_from_a_payment_that_was_started(self, ani: Shopper, monkeypatch: pytest.MonkeyPatch) -> None:
        dies_at(monkeypatch, "confirm: started", lambda: buy(ani))
        assert (the_payment().payment_state, in_gate(ani.sale)) == ("started", ONE_HELD)
        assert buy(ani).state == "confirmed"
        assert in_gate(ani.sale) == ONE_SOLD
        assert broken(ani.sale) == money_astray() == []

    def test_continues_from_a_payment_that_was_started_by_closing_it(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dies_at(monkeypatch, "confirm: started", lambda: buy(ani))
        come_due(ani.sale)
        reap(ani.sale)
        assert [sweep_payments.settle_ended_holds(), sweep_payments.settle_ended_holds()] == [1, 0]
        assert (the_payment().payment_state, DemoCharge.objects.get().state) == ("declined", "declined")
        assert refusal(pay, ani, Reservation.objects.get().pk) is Outcome.EXPIRED
        assert broken(ani.sale) == money_astray() == []

    def test_continues_from_a_charge_by_a_retry(self, ani: Shopper, monkeypatch: pytest.MonkeyPatch) -> None:
        dies_at(monkeypatch, "confirm: charged", lambda: buy(ani))
        assert (DemoCharge.objects.get().state, Reservation.objects.get().state) == ("paid", "held")
        assert buy(ani).state == "confirmed"
        assert [sweep_payments.settle_ended_holds(), refund.refund_due()] == [0, 0]
        assert broken(ani.sale) == money_astray() == []

    @pytest.mark.parametrize("wanted", [False, True])
    def test_continues_from_a_charge_by_the_sweep_which_honours_or_refunds_it(
        self, monkeypatch: pytest.MonkeyPatch, wanted: bool
    ) -> None:
        sale, people = called("ani", "budi", stock=1)
        first, second = sorted(people, key=lambda person: person.number())
        dies_at(monkeypatch, "confirm: charged", lambda: buy(first))
        assert sweep_payments.settle_ended_holds() == 0
        come_due(sale)
        reap(sale)
        if wanted:
            tend(sale)
            buy(second)
        assert [sweep_payments.settle_ended_holds(), refund.refund_due()] == [1, int(wanted)]
        assert PaymentAttempt.objects.get(reservation__number=1).payment_state == ("refunded" if wanted else "paid")
        assert broken(sale) == money_astray() == []

    @pytest.mark.parametrize("again", ["card-1", "card-2"])
    def test_continues_from_a_payment_that_was_closed_with_whichever_comes_next(
        self, monkeypatch: pytest.MonkeyPatch, again: str
    ) -> None:
        axes = {Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter", Axis.PAYMENT: "hard confirm"}
        sale, (ani, _) = called("ani", "budi", campaign=poco_campaign(axes=axes))
        held = ani.reserve().id
        pay(ani, held, payment="card-1", instrument=payments.DEMO_LATER)
        dies_at(monkeypatch, "confirm: closed", lambda: pay(ani, held, payment="card-2"))
        assert (the_payment().payment_state, DemoCharge.objects.get().state) == ("started", "declined")
        if again == "card-1":
            assert refusal(pay, ani, held, payment=again) is Outcome.PAYMENT_DECLINED
        row = pay(ani, held, payment=again)
        assert (row.state, paid_by(row).reference) == ("confirmed", nth(held, 2))
        assert broken(sale) == money_astray() == []

    @pytest.mark.parametrize("by", ["mending", "the reaper"])
    def test_continues_from_a_confirmation_that_the_gate_has_not_heard(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch, by: str
    ) -> None:
        dies_at(monkeypatch, "confirm: confirmed", lambda: buy(ani))
        assert in_gate(ani.sale) == ONE_HELD
        if by == "mending":
            Reservation.objects.update(confirmed_at=F("confirmed_at") - timedelta(seconds=2))
            for _ in range(2):
                bridge.run(tick.mend_all())
        else:
            come_due(ani.sale)
            assert [reap(ani.sale), reap(ani.sale)] == [1, 0]
        assert in_gate(ani.sale) == ONE_SOLD
        assert pay(ani, Reservation.objects.get().pk).state == "confirmed"
        assert broken(ani.sale) == money_astray() == []

    @pytest.mark.parametrize("back", [False, True])
    def test_continues_from_late_money_for_which_the_gate_keeps_the_units(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch, back: bool
    ) -> None:
        dying(monkeypatch, confirm, "settle", lambda: buy(ani))
        come_due(ani.sale)
        reap(ani.sale)
        dies_at(monkeypatch, "confirm: retaken", sweep_payments.settle_ended_holds)
        assert in_gate(ani.sale) == ONE_HELD
        if back:
            come_due(ani.sale)
            assert [reap(ani.sale), reap(ani.sale)] == [1, 0]
        due_again()
        assert sweep_payments.settle_ended_holds() == 1
        assert in_gate(ani.sale) == ONE_SOLD
        assert broken(ani.sale) == money_astray() == []

    def test_continues_from_a_refund_that_is_due(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, people = called("ani", "budi", stock=1)
        first, second = sorted(people, key=lambda person: person.number())
        dying(monkeypatch, confirm, "settle", lambda: buy(first))
        come_due(sale)
        reap(sale)
        tend(sale)
        buy(second)
        held = Reservation.objects.get(number=1).pk
        dies_at(monkeypatch, "confirm: refund due", lambda: pay(first, held))
        assert refusal(pay, first, held) is Outcome.EXPIRED
        assert [refund.refund_due(), refund.refund_due()] == [1, 0]
        assert broken(sale) == money_astray() == []


class TestDyingAfterANotification:
    @pytest.mark.parametrize("point", ["stored", "settled"])
    @pytest.mark.parametrize("again", [False, True])
    def test_continues_by_the_sweep_or_by_the_same_notification(
        self, monkeypatch: pytest.MonkeyPatch, point: str, again: bool
    ) -> None:
        sale, (ani, _) = called("ani", "budi")
        reference = paid_elsewhere(ani)
        if point == "stored":
            dies_at(monkeypatch, "inbox: stored", lambda: told(reference))
            assert (the_payment().payment_state, in_gate(sale)) == ("started", ONE_HELD)
        else:
            dies_at(monkeypatch, "inbox: settled", lambda: told(reference))
            assert (the_payment().payment_state, in_gate(sale)) == ("paid", ONE_SOLD)
        assert Inbox.objects.get().done_at is None
        due_again()
        assert told(reference) == "paid" if again else inbox.read_inbox() == 1
        assert (inbox.read_inbox(), the_payment().payment_state, in_gate(sale)) == (0, "paid", ONE_SOLD)
        assert broken(sale) == money_astray() == []


def test_dying_after_a_refund_was_sent_sends_no_money_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    sale, (ani, _) = called("ani", "budi")
    row = buy(ani)
    cancel.cancel(reservation=row.pk, channel=ani.channel.id, code="buyer_request")
    dies_at(monkeypatch, "refund: sent", refund.refund_due)
    assert (the_payment().payment_state, DemoCharge.objects.get().refunded) == ("refund_due", True)
    assert refund.refund_due() == 0, "the dead process has it until its lease is over"
    due_again()
    assert [refund.refund_due(), refund.refund_due()] == [1, 0]
    assert the_payment().payment_state == "refunded"
    assert broken(sale) == money_astray() == []


class TestDyingAfterACancellation:
    def test_continues_from_the_books_by_a_retry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, act = self._order()
        dies_at(monkeypatch, "cancel: ended", act)
        assert in_gate(sale) == ONE_SOLD
        act()
        act()
        self._ended_once(sale)

    def test_continues_from_the_books_by_mending(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, act = self._order()
        dies_at(monkeypatch, "cancel: ended", act)
        for _ in range(2):
            bridge.run(tick.mend_all())
        self._ended_once(sale)

    def _order(self) -> tuple[Sale, Any]:
        sale, (ani, _) = called("ani", "budi")
        row = buy(ani)
        return sale, lambda: cancel.cancel(reservation=row.pk, channel=ani.channel.id, code="buyer_request")

    def _ended_once(self, sale: Sale) -> None:
        assert in_gate(sale) == {"offered": 2, "held": 0, "sold": 0, "used": []}
        assert (Cancellation.objects.count(), Notice.objects.count()) == (1, 1)
        assert refund.refund_due() == 1
        assert broken(sale) == money_astray() == []


class TestDyingWhileUnitsRollOver:
    @pytest.mark.parametrize(("point", "moved"), ROLLING)
    def test_continues_from_each_step_at_the_next_look(
        self, monkeypatch: pytest.MonkeyPatch, point: str, moved: int
    ) -> None:
        sale = rolling_sale(3)
        open_now(sale)
        dies_at(monkeypatch, point, lambda: roll_over_now(sale))
        assert (offered(sale, "first"), Move.objects.count()) == (0, moved)
        tend(sale)
        tend(sale)
        assert (offered(sale, "first"), offered(sale, "public"), Move.objects.count()) == (0, 3, 3)
        assert broken(sale) == []


class TestDyingAfterAReallocation:
    def test_continues_from_the_books_by_a_retry_or_by_mending(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, (ani, _) = called("ani", "budi")
        row = buy(ani)
        end_now(sale)
        cancel.cancel(reservation=row.pk, channel=ani.channel.id, code="buyer_request")
        wronged = (Axis.EMAIL, "wronged@example.com")
        follow_up = lobby_sale(
            sale.campaign,
            lines=[{"code": "wronged", "channels": ["lazada"], "stock": {PHONE: 0}, "listed": [wronged]}],
            max_entries=500,
        )
        line = follow_up.allocations.get()
        act = lambda: reallocate.reallocate(source=sale, target=line, reserve=0)  # noqa: E731
        ListEntry.objects.create(allocation=line, axis="email", digest="00" * 16)
        dies_at(monkeypatch, "reallocate: moved", act)
        assert (offered(follow_up, "wronged"), Unit.objects.filter(allocation=line, state="free").count()) == (0, 1)
        bridge.run(tick.mend_all())
        assert offered(follow_up, "wronged") == 1
        assert bridge.run(inspect.list_size(card_of(follow_up), line.line_id)) == 2
        act()
        assert (offered(follow_up, "wronged"), Move.objects.count()) == (1, 1)
        assert [*broken(sale), *broken(follow_up)] == []
