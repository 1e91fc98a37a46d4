"""Random calls of the real functions with a real Redis and a real PostgreSQL. The oracle predicts each result.

After each step, Redis and PostgreSQL must count what the oracle counts, and each state promise must hold. Time moves in
steps of the line's clock. There is no step whose result depends on real time.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.db.models import F
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flashsale.books import writer_threads
from flashsale.gate import bridge, inspect, scripts
from flashsale.life import cancel, sale_control, tick
from flashsale.life.audit_scope import Scope
from flashsale.life.leave import leave
from flashsale.life.release import release
from flashsale.models import Reservation
from flashsale.models import Sale as Row
from flashsale.rules.outcomes import Refused
from tests.factories import Shopper, card_of, move_opening
from tests.faults.steps import CHECKS, Died, dies
from tests.oracle.footing import LINES, PEOPLE, SALES, Footing, books_frozen, forget_kept
from tests.oracle.model import CLOSES_S, SKUS
from tests.oracle.paying import Paying

WISHES = tuple(
    tuple(pair for pair in zip(SKUS, wish, strict=True) if pair[1]) for wish in ((1, 0), (0, 1), (1, 1), (2, 0))
)
STEPS_S = (400, 800, 4000)
STEPS_BETWEEN_LOSSES = 9

who = st.sampled_from(PEOPLE)
where = st.sampled_from(list(LINES))
which = st.sampled_from(list(SALES))
some_hold = st.integers(0, 1000)


class Machine(Paying, Footing, RuleBasedStateMachine):
    """One campaign after its publication."""

    # Over all runs: the number of steps, and how often each outcome occurred.
    steps = 0
    heard: Counter[str] = Counter()

    def word(self, call: Callable[[], Any]) -> tuple[str | None, Any]:
        """The outcome of a refusal and None, or None and the result."""
        said, made = None, None
        try:
            made = call()
        except Refused as refused:
            said = str(refused.outcome)
        self.heard[said or "done"] += 1
        return said, made

    @initialize(
        crowd=st.lists(where, min_size=len(PEOPLE), max_size=len(PEOPLE)),
        opened=st.sampled_from([True, True, False]),
        secret=st.binary(min_size=32, max_size=32),
        batched=st.booleans(),
    )
    def publishes(self, crowd: list[tuple[str, str]], opened: bool, secret: bytes, batched: bool) -> None:
        """Publishes the sales. Most runs begin in an open sale with all people in a line: most can happen there."""
        self.publish(secret)
        self.batched = batched
        self.lost_at = self.steps
        if opened:
            for who, line in zip(PEOPLE, crowd, strict=True):
                self.enters(who=who, where=line)
            for name in SALES:
                self.opens(which=name)
                self.is_tended(which=name)

    # --- The line --------------------------------------------------------------------------------------------------

    @rule(who=who, where=where)
    def enters(self, who: str, where: tuple[str, str]) -> None:
        name, code = where
        sale = self.sales[name]
        shopper = Shopper(self.rows[name], who, channel=code)
        foretold = self.oracle.enter(who, sale, sale.lines[code])
        said, entry = self.word(shopper.enter)
        assert said == foretold
        if entry:
            self.oracle.entered(who, sale, sale.lines[code], index=entry.index, fresh=entry.created)
            self.shoppers[name, who] = shopper
            self.number(sale)

    @precondition(lambda self: self.shoppers)
    @rule(pick=some_hold)
    def leaves(self, pick: int) -> None:
        shopper, place, _ = self.somebody(pick)
        foretold = self.oracle.leave(place)
        said, _ = self.word(lambda: bridge.run(leave(card=shopper.card, line=shopper.line, place=shopper.place)))
        assert said == foretold

    @rule(which=which)
    def is_tended(self, which: str) -> None:
        self.tend(self.sales[which])

    @precondition(lambda self: any(sale.clock is None for sale in self.sales.values()))
    @rule(which=which)
    def opens(self, which: str) -> None:
        sale = self.sales[which]
        if sale.clock is not None or sale.paused:
            return
        row = self.rows[which]
        move_opening(row)
        closes = row.opens_at + timedelta(seconds=CLOSES_S)
        Row.objects.filter(pk=row.pk).update(closes_at=closes, revision=F("revision") + 1)
        self.tell(sale, closes=int(closes.timestamp() * 1000))
        sale.clock = 0
        self.tend(sale)

    @rule(seconds=st.sampled_from(STEPS_S))
    def time_passes(self, seconds: int) -> None:
        for name, sale in self.sales.items():
            if sale.clock is None or sale.paused:
                continue
            Row.objects.filter(pk=self.rows[name].pk).update(
                paused_ms=F("paused_ms") - seconds * 1000, revision=F("revision") + 1
            )
            self.rows[name].refresh_from_db()
            self.tell(sale, paused_ms=self.rows[name].paused_ms)
            sale.clock += seconds

    @rule(which=which)
    def is_paused_or_resumed(self, which: str) -> None:
        sale, row = self.sales[which], self.rows[which]
        if sale.closed:
            return
        (sale_control.resume if sale.paused else sale_control.pause)(sale=row)
        sale.paused = not sale.paused

    # --- Reserving -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.shoppers)
    @rule(pick=some_hold, items=st.sampled_from(WISHES), key=st.sampled_from("ab"))
    def reserves(self, pick: int, items: tuple[tuple[str, int], ...], key: str) -> None:
        shopper, place, sale = self.somebody(pick)
        foretold = self.oracle.reserve(sale, place, shopper.name, items, key, claims=self.claims(sale, place))
        known = self.oracle.seen(place, key)
        said, made = self.word(lambda: shopper.reserve(*items, key=key))
        assert (said or "reserved") == foretold
        if made:
            self.committed(self.oracle.take(sale, place, shopper.name, items, key), made, replayed=known is not None)
        elif known and known.state == "taken" and said == "paused":
            self.oracle.end(known, "forgotten")

    @precondition(lambda self: self.shoppers)
    @rule(pick=some_hold, items=st.sampled_from(WISHES), key=st.sampled_from("ab"))
    def reserves_and_its_process_dies_before_the_books(
        self, pick: int, items: tuple[tuple[str, int], ...], key: str
    ) -> None:
        shopper, place, sale = self.somebody(pick)
        foretold = self.oracle.reserve(sale, place, shopper.name, items, key, claims=self.claims(sale, place))
        known = self.oracle.seen(place, key)
        really, writer_threads.Writer.submit = writer_threads.Writer.submit, dies  # type: ignore[method-assign]
        try:
            said, _ = self.word(lambda: shopper.reserve(*items, key=key))
        except Died:
            if known is None:
                assert foretold == "reserved"
                self.oracle.take(sale, place, shopper.name, items, key)
        else:
            assert said == foretold
        finally:
            writer_threads.Writer.submit = really  # type: ignore[method-assign]

    @precondition(lambda self: self.shoppers and connection.vendor == "postgresql")
    @rule(pick=some_hold, items=st.sampled_from(WISHES))
    def reserves_while_the_books_stand_still(self, pick: int, items: tuple[tuple[str, int], ...]) -> None:
        shopper, place, sale = self.somebody(pick)
        foretold = self.oracle.reserve(sale, place, shopper.name, items, "frozen", claims=self.claims(sale, place))
        known = self.oracle.seen(place, "frozen")
        if foretold != "reserved" or (known and known.state == "taken"):
            return
        with books_frozen():
            said, made = self.word(lambda: shopper.reserve(*items, key="frozen"))
        assert said in {None, "unknown"}
        while made is None:
            said, made = self.word(lambda: shopper.reserve(*items, key="frozen"))
            assert said in {None, "unknown"}
        self.committed(self.oracle.take(sale, place, shopper.name, items, "frozen"), made, replayed=None)

    @precondition(lambda self: self.oracle.holds)
    @rule(pick=some_hold)
    def gives_back(self, pick: int) -> None:
        hold, shopper = self.somebodys_hold(pick)
        if hold.id is None:
            return
        said, _ = self.word(lambda: release(reservation=hold.id, channel=shopper.channel.id))
        assert said == (None if hold.state in {"held", "released"} else "not_held")
        if hold.state == "held":
            self.oracle.end(hold, "released")

    @precondition(lambda self: self.oracle.holds)
    @rule(pick=some_hold)
    def cancels(self, pick: int) -> None:
        hold, shopper = self.somebodys_hold(pick)
        if hold.id is None:
            return
        call: Any = {"reservation": hold.id, "channel": shopper.channel.id, "code": "buyer_request"}
        said, _ = self.word(lambda: cancel.cancel(**call))
        assert said == (None if hold.state in {"confirmed", "cancelled"} else "not_cancellable")
        if hold.state == "confirmed":
            self.oracle.end(hold, "cancelled")
            hold.owe()

    # --- Faults ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.steps - self.lost_at > STEPS_BETWEEN_LOSSES)
    @rule(everything=st.booleans(), pick=some_hold)
    def loses_its_gate(self, everything: bool, pick: int) -> None:
        self.lost_at = self.steps
        bridge.run(forget_kept())
        for sale in self.sales.values():
            self.tend(sale)
        with redis.Redis.from_url(settings.REDIS_URL) as inside:
            if everything:
                inside.flushall()
            else:
                for row in self.rows.values():
                    inside.hset(scripts.keys_of(card_of(row)).state, "run", "another server's")
        if self.shoppers:
            shopper, _, sale = self.somebody(pick)
            said, _ = self.word(lambda: shopper.reserve(key="lost"))
            assert said == "not_ready" or not sale.drawn
        bridge.run(tick.mend_all())
        self.oracle.lost(everything=everything)
        for sale in self.sales.values():
            self.tend(sale)
            self.tend(sale)
        for (name, who), shopper in self.shoppers.items():
            assert shopper.look().index == self.oracle.places[name, who].index

    # --- After each step -------------------------------------------------------------------------------------------

    @invariant()
    def gate_and_books_count_what_the_oracle_counts(self) -> None:
        type(self).steps += 1
        for name, sale in self.sales.items():
            card = card_of(self.rows[name])
            for line in card.lines:
                counted = bridge.run(inspect.counters(card, line))
                survey: Any = bridge.run(scripts.survey(card, line))
                found = {"held": counted["held"], "sold": counted["sold"], **survey.free}
                assert found == self.oracle.expected(sale.lines[line.code])
        states = {hold.id: hold.state for hold in self.oracle.holds if hold.id}
        rows = Reservation.objects.filter(sale__in=self.rows.values()).exclude(state="abandoned")
        assert dict(rows.values_list("id", "state")) == states
        used = bridge.run(inspect.used_limits(card_of(self.rows["first"])))
        assert sorted(n for n in used.values() if n) == sorted(2 * [n for n in map(self.oracle.used, PEOPLE) if n])
        assert self.money_in_books() == {hold.id: list(hold.seen()) for hold in self.oracle.holds if hold.attempts}

    @invariant()
    def every_state_promise_holds(self) -> None:
        broken = [line for check in CHECKS for line in check(Scope.whole(self.rows["first"].campaign))]
        if any(hold.state == "taken" for hold in self.oracle.holds):
            # A commit is under way. The oracle checks what Redis counts and PostgreSQL does not.
            broken = [line for line in broken if ": Redis counts" not in line]
        assert broken == []
