"""29 January as it should have been: units for the wronged buyers first, then for the old line, then for the public."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flashsale.life import reallocate, schedule
from flashsale.models import Allocation, Move, Reallocation, Sale
from flashsale.models.sale import ms
from flashsale.rules.states import Phase
from simulation import checks
from simulation import poco_campaign as poco
from simulation.acts import appeals, january_26
from simulation.acts.january_29 import CODE, invitation_letters, traceable, wronged_by_reservation
from simulation.behaviour import Result
from simulation.crowd import Attendance
from simulation.observations import Check
from simulation.order_checks import numbers
from simulation.people import Kind, PeopleFactory, Person
from simulation.shopper import Shopper
from simulation.story import CHANNEL_SHARES, Story, publish, wait_for

WRONGED, PUBLIC, AGAIN = "wronged", "public", "{}-again"
# One unit is kept for appeals, if more came back than the wronged buyers need. The plan publishes this number.
RESERVE = 1
# Share of the other units for people who stood in line on 26 January. The public gets the rest.
OLD_LINES = 0.8
# People who try to use the invitation of another person.
STRANGERS = 2
CARRIED_OUT_S = 30.0
# Celery's beat starts due plans and then letters every few seconds. Both must be done before the opening.
CELERY_S = 16.0
# When unsold units roll over to the public, and when the sale closes, as multiples of the other sales' length.
ROLLS_OVER, CLOSES = 0.6, 1.8


def play(story: Story, source: Sale) -> Sale:
    """Publishes the plans, which Celery carries out, and sends each person to their own line."""
    # People may be done before the first sale is over. Its line can be carried over only when it no longer grows.
    wait_for(lambda: _over(source), seconds=story.timing.open_s)
    sale = _sale(story, source)
    plans, kept = _plan(story, source, sale)
    done = wait_for(lambda: all(_carried_out(plan) for plan in plans), seconds=CARRIED_OUT_S)
    publish(sale)
    late = appeals.decide_late(story, source)
    invitations = invitation_letters(story, sale, shows=WRONGED)
    units = {line.code: line.units.count() for line in sale.allocations.all()}
    story.announce(sale, units)
    people, lines, old_shoppers = _people(story, units[PUBLIC])
    shares = ", ".join(f"{count} {line}" for line, count in units.items())
    story.show_progress(f"29 January: {sum(units.values())} units came back ({shares}), {len(people)} people")
    refills = {line.code: _refills_until(line, story) for line in sale.allocations.all()}
    attendance = story.send_crowd(sale, people, lines, old_shoppers=old_shoppers, refills_until=refills)
    for line in sale.allocations.all():
        story.observed.units[CODE, line.code] += Move.objects.filter(target=line, plan=None).count()
        story.observed.rolling.add((CODE, line.code))
    story.reload_unit_history()
    story.add_act(
        "29 January",
        units=sum(units.values()),
        people=len(people),
        ends=attendance.result_counts(),
        tranches=units,
        late_appeals=late,
    )
    found = [*checks.check_all(story.observed), traceable(story, source, kept), invitations]
    carried = Check(10, "Celery carries out the plans", done, f"{len(plans)} plans", "all carried out")
    story.add_checks(
        "29 January",
        [
            *found,
            carried,
            _wronged_got_units(story, attendance),
            _strangers_refused(attendance),
            _old_numbers_kept(story),
        ],
    )
    return sale


def _over(source: Sale) -> bool:
    return Sale.objects.get(pk=source.pk).phase(ms(datetime.now(UTC))) is Phase.CLOSED


def _sale(story: Story, source: Sale) -> Sale:
    timing, now = story.timing, datetime.now(UTC)
    opens = now + timedelta(seconds=timing.lobby_s + CELERY_S)
    rolls = opens + timedelta(seconds=ROLLS_OVER * timing.open_s)
    to_public = {"successor": PUBLIC, "rolls_over_at": rolls}
    stock = dict.fromkeys(poco.SKUS, 0)
    again = [
        {
            "code": AGAIN.format(old.code),
            "name": f"{old.name}, 26 January",
            "channels": [old.code],
            "stock": stock,
            "carries": old,
            **to_public,
        }
        for old in source.allocations.all()
    ]
    wronged = {"code": WRONGED, "name": "Wrongly cancelled", "channels": [poco.PAGE], "stock": stock, "listed": []}
    public = {"code": PUBLIC, "name": "Public", "channels": list(CHANNEL_SHARES), "stock": stock}
    return schedule.plan_sale(
        campaign=story.campaign,
        code=CODE,
        name="29 January 2021",
        lobby_at=now - timedelta(seconds=1),
        opens_at=opens,
        closes_at=opens + timedelta(seconds=CLOSES * timing.open_s),
        offers=poco.OFFERS,
        lines=[{**wronged, **to_public}, *again, public],
        claim_s=timing.claim_s,
        hold_s=timing.hold_s,
        rate_per_s=timing.rate_per_s,
        max_entries=poco.ENTRIES_MAX,
    )


def _plan(story: Story, source: Sale, sale: Sale) -> tuple[list[Reallocation], int]:
    """Makes one plan for each line, in the order of the tranches. Returns them and the number of units that are kept.

    A dry run gives the number of units to share.
    """
    lines = {line.code: line for line in sale.allocations.all()}
    returned = reallocate.forecast(source=source, target=lines[PUBLIC], reserve=0).moves
    wronged = len(wronged_by_reservation(story))
    kept = max(0, min(RESERVE, returned - wronged))
    available = returned - kept
    first = min(available, wronged + appeals.LATE - RESERVE)
    old = round((available - first) * OLD_LINES)
    shares = {WRONGED: first} | {AGAIN.format(code): round(old * share) for code, share in CHANNEL_SHARES.items()}
    now = datetime.now(UTC)
    tranches: list[tuple[str, int | None]] = [*shares.items(), (PUBLIC, None)]
    plans = [
        reallocate.plan(source=source, target=lines[line], reserve=kept, units=units, due_at=now, by=story.staff[0])
        for line, units in tranches
        if units is None or units > 0
    ]
    return plans, kept


def _carried_out(plan: Reallocation) -> bool:
    return Reallocation.objects.filter(pk=plan.pk, carried_out_at__isnull=False).exists()


def _refills_until(line: Allocation, story: Story) -> int:
    """The time (ms) until which units may still come: at the roll-over, and later from open claim windows and holds."""
    rolls = line.predecessors.order_by("rolls_over_at").values_list("rolls_over_at", flat=True).last()
    return ms(rolls) + (story.timing.claim_s + story.timing.hold_s + 3) * 1000 if rolls else 0


def _people(story: Story, public: int) -> tuple[list[Person], dict[str, str], dict[str, Shopper]]:
    """All people, the line of each, and the shoppers who still have a place from the first sale."""
    factory = PeopleFactory(seed=story.seed, mark=4)
    strangers = [factory.person(Kind.HONEST, poco.PAGE) for _ in range(STRANGERS)]
    wronged = wronged_by_reservation(story)
    invited = [_by_page(person) for person in wronged.values()]
    lines = {person.code: WRONGED for person in (*invited, *strangers)}
    # People who proved their phone and e-mail on our page before need not prove them again.
    participants = story.attendances[january_26.CODE].participants
    kept = {
        participant.shopper.person.code: participant.shopper
        for participant in participants
        if participant.reservation in wronged
    }
    again: list[Person] = []
    kinds = {Kind.HONEST, Kind.DOUBLE, Kind.RETRIER, Kind.FAMILY}
    for participant in participants:
        if (
            participant.result in {Result.EMPTY_HANDED, Result.LAPSED}
            and participant.kind in kinds
            and len(again) < story.units(0.5)
        ):
            again.append(participant.shopper.person)
            kept[participant.shopper.person.code] = participant.shopper
            lines[participant.shopper.person.code] = AGAIN.format(participant.shopper.line)
    fresh = factory.crowd(size=max(20, 2 * public), channels=CHANNEL_SHARES, plain=True)
    lines |= {person.code: PUBLIC for person in fresh}
    return [*invited, *strangers, *again, *fresh], lines | dict.fromkeys(CHANNEL_SHARES, PUBLIC), kept


def _by_page(person: Person) -> Person:
    return replace(person, channel=poco.PAGE)


def _wronged_got_units(story: Story, attendance: Attendance) -> Check:
    """A unit was kept for each wronged buyer, so all of them get one."""
    codes = {person.code for person in wronged_by_reservation(story).values()}
    bought = [
        participant.result is Result.BOUGHT
        for participant in attendance.participants
        if participant.shopper.person.code in codes
    ]
    return Check(
        11,
        "each wronged buyer gets a unit",
        all(bought) and len(bought) == len(codes),
        f"{sum(bought)} of {len(codes)} have one",
        "all",
    )


def _strangers_refused(attendance: Attendance) -> Check:
    """An invitation is valid for one person only: the site refuses strangers after they prove their identity."""
    strangers = [
        v for v in attendance.participants if v.shopper.line == WRONGED and v.shopper.person.code.startswith("p004")
    ]
    refused = [
        participant.result is Result.STOPPED and participant.refusal == "not_eligible" for participant in strangers
    ]
    held = all(refused) and len(refused) == STRANGERS
    return Check(
        11, "an invitation is valid for its owner only", held, f"{sum(refused)} strangers refused", f"{STRANGERS}"
    )


def _old_numbers_kept(story: Story) -> Check:
    """A person who shows an old place keeps the old number."""
    old_numbers = {
        (who, line): number for (sale, line, who), number in numbers(story.observed).items() if sale == january_26.CODE
    }
    shown = [
        (int(answer.body["index"]), old_numbers.get((answer.who, answer.line.removesuffix("-again"))))
        for answer in story.journal.answers_to("enter", sale=CODE)
        if answer.ok and answer.line.endswith("-again")
    ]
    kept = sum(index == number for index, number in shown)
    return Check(
        6,
        "old numbers are carried over (order)",
        kept == len(shown) > 0,
        f"{kept} of {len(shown)} people with an old place kept their number",
        "all",
    )
