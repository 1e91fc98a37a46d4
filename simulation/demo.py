"""What `make run` plays: a small campaign, up to the steps that a newcomer does in the admin.

Each step first checks what exists already. A demo that was stopped half-way therefore continues where it stopped.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.contrib.auth.models import User

from flashsale import tasks
from flashsale.life import reallocate, review, schedule
from flashsale.models import Campaign, Case, Reallocation, Reservation, ReviewRun, Sale, Unit
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import CaseState, ReservationState, UnitState
from simulation import crowd
from simulation import poco_campaign as poco
from simulation.behaviour import Delays
from simulation.journal import NullJournal
from simulation.outbox import Outbox
from simulation.people import Kind, PeopleFactory, Person

FIRST, RERUN, PLANNED = "26-january", "29-january", "2-february"
LINES = ("lazada", "akulaku", "mi.com", "mi-store")
UNITS_A_LINE = 3
# Most of the people are one ring. With so many members, enough get a phone for the review to find, whatever the draw.
HONEST, RING = 30, 40
LOBBY_S, OPEN_S, CLAIM_S, HOLD_S = 8, 30, 8, 10
DELAYS = Delays(enter_s=5, think_s=1.5, pay_s=2)
RERUN_IN = timedelta(minutes=5)
# Cases that the newcomer decides: one to propose, one to approve.
CASES_LEFT_OPEN = 2
# So many returned phones are kept for appeals, if at least RESERVE_FROM came back.
RESERVE, RESERVE_FROM = 1, 3
REVIEW_S = 30.0


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo's server, campaign and keys. All steps end early when `stop` is set."""

    url: str
    campaign: Campaign
    keys: Mapping[str, str]
    outbox: Outbox
    show_progress: Callable[[str], None]
    stop: threading.Event

    def seed(self) -> None:
        """Plays the campaign until a newcomer has something to decide. Skips steps that were done before."""
        steps = (self._plan_last, self._first_sale, self._review, self._decide, self._rerun)
        for step in steps:
            if self.stop.is_set():
                return
            step()

    def _plan_last(self) -> None:
        if Sale.objects.filter(code=PLANNED).exists():
            return
        zone = self.campaign.zone
        day = datetime.now(zone).date() + timedelta(days=4)
        opens = datetime.combine(day, time(10), tzinfo=zone)
        times = (opens - timedelta(hours=24), opens, opens + timedelta(hours=2))
        units = dict.fromkeys(LINES, 25)
        sale = poco.sale(campaign=self.campaign, code=PLANNED, name="2 February 2021", times=times, units=units)
        schedule.publish(sale=sale)
        self.show_progress(f"2 February: scheduled for {opens:%d.%m.%Y %H:%M} WIB, {sum(units.values())} units")

    def _first_sale(self) -> None:
        if Sale.objects.filter(code=FIRST).exists():
            return
        now = datetime.now(UTC)
        opens = now + timedelta(seconds=LOBBY_S)
        sale = poco.sale(
            campaign=self.campaign,
            code=FIRST,
            name="26 January 2021",
            units=dict.fromkeys(LINES, UNITS_A_LINE),
            times=(now - timedelta(seconds=1), opens, opens + timedelta(seconds=OPEN_S)),
            claim_s=CLAIM_S,
            hold_s=HOLD_S,
        )
        schedule.publish(sale=sale)
        people = _people()
        self.show_progress(
            f"26 January: {len(people)} people try to buy {UNITS_A_LINE * len(LINES)} phones (about half a minute)"
        )
        attendance = self._send_crowd(sale, people, {line: line for line in LINES}, OPEN_S + LOBBY_S)
        self.show_progress(
            "26 January: "
            + ", ".join(f"{count} {result}" for result, count in attendance.result_counts().most_common())
        )

    def send_crowd_to_rerun(self) -> None:
        """Sends the honest people to the rerun. Runs in its own thread; does nothing when the rerun is over."""
        sale = Sale.objects.filter(code=RERUN, closes_at__gt=datetime.now(UTC)).first()
        if sale is not None:
            people = [replace(person, channel="lazada") for person in _people() if person.kind is Kind.HONEST]
            self._send_crowd(sale, people, {"lazada": "lazada"}, (sale.closes_at - datetime.now(UTC)).total_seconds())

    def _send_crowd(
        self, sale: Sale, people: Sequence[Person], lines: Mapping[str, str], seconds: float
    ) -> crowd.Attendance:
        config = crowd.CrowdConfig(
            url=self.url, sale=sale.code, lines=lines, keys=self.keys, outbox=self.outbox, delays=DELAYS, seed=1
        )
        return crowd.run(config=config, people=people, journal=NullJournal(), seconds=seconds, stop=self.stop)

    def _review(self) -> None:
        sale = Sale.objects.get(code=FIRST)
        if ReviewRun.objects.filter(sale=sale, finished_at__isnull=False).exists():
            return
        run = review.start(sale=sale)
        tasks.carry_on_review.delay(run=run.pk)
        done = _wait_for(lambda: ReviewRun.objects.get(pk=run.pk).finished_at is not None, self.stop)
        cases = Case.objects.filter(reservation__sale=sale).count()
        self.show_progress(
            f"27 January: the review {'found' if done else 'still runs; so far it found'} {cases} unusual orders"
        )

    def _decide(self) -> None:
        """Decides most cases, each by two people. The last cases stay open in the admin."""
        sale, (dewi, agus) = Sale.objects.get(code=FIRST), _reviewers()
        if Reallocation.objects.filter(source=sale).exists():
            return
        open_cases = Case.objects.filter(reservation__sale=sale, state=CaseState.OPEN)
        for case in open_cases[: max(0, open_cases.count() - CASES_LEFT_OPEN)]:
            review.propose(case=case, code=ReasonCode.ONE_PERSON_MANY_IDENTITIES, by=dewi)
            review.approve(case=case, by=agus)
        for case in open_cases[:1] if open_cases.count() == CASES_LEFT_OPEN else ():
            review.propose(case=case, code=ReasonCode.ONE_PERSON_MANY_IDENTITIES, by=dewi)
        self._cancel_by_mistake(sale, dewi, agus)

    def _cancel_by_mistake(self, sale: Sale, dewi: User, agus: User) -> None:
        """Cancels one order by mistake. Its buyer gets an invitation to the rerun."""
        order = Reservation.objects.filter(sale=sale, state=ReservationState.CONFIRMED, case=None).first()
        if order is None:
            return
        case = review.open_case(reservation=order)
        review.propose(case=case, code=ReasonCode.CANCELLED_BY_MISTAKE, by=agus)
        review.approve(case=case, by=dewi)

    def _rerun(self) -> None:
        if Sale.objects.filter(code=RERUN).exists():
            return
        source, now = Sale.objects.get(code=FIRST), datetime.now(UTC)
        opens = now + RERUN_IN
        sale = poco.sale(
            campaign=self.campaign,
            code=RERUN,
            name="29 January 2021",
            units={"lazada": 0},
            times=(now, opens, opens + timedelta(hours=1)),
        )
        returned = Unit.objects.filter(allocation__sale=source, state=UnitState.RETURNED).count()
        kept = RESERVE if returned >= RESERVE_FROM else 0
        reallocate.reallocate(source=source, target=sale.allocations.get(), reserve=kept, by=_reviewers()[0])
        schedule.publish(sale=sale)
        moved = sale.allocations.get().units.count()
        self.show_progress(
            f"29 January: {moved} returned phones go to Lazada at {opens.astimezone(self.campaign.zone):%H:%M} WIB"
        )


def _people() -> list[Person]:
    factory = PeopleFactory(seed=26, mark=3)
    honest = [factory.person(Kind.HONEST, LINES[at % len(LINES)]) for at in range(HONEST)]
    head = factory.person(Kind.RING, LINES[0])
    ring = [factory.member(head, LINES[at % len(LINES)]) for at in range(RING)]
    return [*honest, *ring]


def _reviewers() -> tuple[User, User]:
    return User.objects.get(username="dewi"), User.objects.get(username="agus")


def _wait_for(condition: Callable[[], Any], stop: threading.Event) -> bool:
    ends = datetime.now(UTC) + timedelta(seconds=REVIEW_S)
    while datetime.now(UTC) < ends and not stop.wait(0.2):
        if condition():
            return True
    return False
