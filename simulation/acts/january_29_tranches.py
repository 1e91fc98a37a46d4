"""29 January as it should have been: first those who were wronged, then the old line, then the public."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flashsale.life import reallocate, schedule
from flashsale.models import Allocation, Move, Reallocation, Sale
from flashsale.models.sale import ms
from flashsale.rules.states import Phase
from simulation import checks
from simulation import poco_campaign as poco
from simulation.acts import appeals, january_26
from simulation.acts.january_29 import CODE, letters, lost, traceable
from simulation.behaviour import Result
from simulation.crowd import Attendance
from simulation.observations import Check
from simulation.order_checks import numbers
from simulation.people import Kind, PeopleFactory, Person
from simulation.shopper import Shopper
from simulation.story import WHERE_UNITS_GO, Story, wait_for

WRONGED, PUBLIC, AGAIN = "wronged", "public", "{}-again"
# One unit waits for appeals; published with the plan.
RESERVE = 1
# Of what is left after the wronged, so much goes to those who stood in line before; the public gets the rest.
OLD_LINES = 0.8
# They got hold of an invitation that is not theirs.
STRANGERS = 2
CARRIED_OUT_S = 30.0
# Celery's beat looks every few seconds for plans that are due, then for letters; both come before the lobby.
BEATS_S = 16.0
# When what is left rolls over to the public, and when the sale closes, in lengths of the story's other sales.
ROLLS, CLOSES = 0.6, 1.8


def play(story: Story, source: Sale) -> Sale:
    """The plan is published and Celery carries it out; everybody comes by the way that is theirs."""
    # Everybody may be home before the sale is over; its order is carried over when it can no longer grow.
    wait_for(lambda: _over(source), seconds=story.timing.open_s)
    sale = _sale(story, source)
    plans = _plan(story, source, sale)
    done = wait_for(lambda: all(_carried_out(plan) for plan in plans), seconds=CARRIED_OUT_S)
    schedule.publish(sale=sale)
    late = appeals.decide_late(story, source)
    told = letters(story, sale, shows=WRONGED)
    units = {line.code: line.units.count() for line in sale.allocations.all()}
    story.announce(sale, units)
    people, lines, kept = _people(story, units[PUBLIC])
    shares = ", ".join(f"{count} {line}" for line, count in units.items())
    story.show_progress(f"29 January: {sum(units.values())} units came back ({shares}), {len(people)} people")
    fed = {line.code: _refills_until(line, story) for line in sale.allocations.all()}
    attendance = story.send_crowd(sale, people, lines, old_shoppers=kept, refills_until=fed)
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
    found = [*checks.everything(story.observed), traceable(story, source, RESERVE), told]
    carried = Check(10, "the plan is carried out by itself", done, f"{len(plans)} plans", "all carried out")
    story.add_checks(
        "29 January", [*found, carried, _theirs(story, attendance), _bound(attendance), _same_numbers(story)]
    )
    return sale


def _over(source: Sale) -> bool:
    return Sale.objects.get(pk=source.pk).phase(ms(datetime.now(UTC))) is Phase.CLOSED


def _sale(story: Story, source: Sale) -> Sale:
    timing, now = story.timing, datetime.now(UTC)
    opens = now + timedelta(seconds=timing.lobby_s + BEATS_S)
    rolls = opens + timedelta(seconds=ROLLS * timing.open_s)
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
    public = {"code": PUBLIC, "name": "Everybody", "channels": list(WHERE_UNITS_GO), "stock": stock}
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


def _plan(story: Story, source: Sale, sale: Sale) -> list[Reallocation]:
    """One plan a line, in the order of the tranches; the dry run says how much there is to share."""
    lines = {line.code: line for line in sale.allocations.all()}
    there = reallocate.foresee(source=source, target=lines[PUBLIC], reserve=RESERVE).moves
    first = min(there, len(lost(story)) + appeals.LATE - RESERVE)
    old = round((there - first) * OLD_LINES)
    shares = {WRONGED: first} | {AGAIN.format(code): round(old * share) for code, share in WHERE_UNITS_GO.items()}
    now = datetime.now(UTC)
    wanted: list[tuple[str, int | None]] = [*shares.items(), (PUBLIC, None)]
    return [
        reallocate.plan(source=source, target=lines[line], reserve=RESERVE, units=units, due_at=now, by=story.staff[0])
        for line, units in wanted
        if units is None or units > 0
    ]


def _carried_out(plan: Reallocation) -> bool:
    return Reallocation.objects.filter(pk=plan.pk, carried_out_at__isnull=False).exists()


def _refills_until(line: Allocation, story: Story) -> int:
    """Until when units may still come: what rolls over, and what open claims and holds give back after it."""
    rolls = line.predecessors.order_by("rolls_over_at").values_list("rolls_over_at", flat=True).last()
    return ms(rolls) + (story.timing.claim_s + story.timing.hold_s + 3) * 1000 if rolls else 0


def _people(story: Story, public: int) -> tuple[list[Person], dict[str, str], dict[str, Shopper]]:
    """Everybody, the line of each, and the places that they still have."""
    factory = PeopleFactory(seed=story.seed, mark=4)
    strangers = [factory.person(Kind.HONEST, poco.PAGE) for _ in range(STRANGERS)]
    invited = [_by_page(person) for person in lost(story).values()]
    lines = {person.code: WRONGED for person in (*invited, *strangers)}
    # Who has shown on our page to be reached there need not do so again.
    participants = story.attendances[january_26.CODE].participants
    kept = {
        participant.shopper.person.code: participant.shopper
        for participant in participants
        if participant.reservation in lost(story)
    }
    again: list[Person] = []
    wanted = {Kind.HONEST, Kind.DOUBLE, Kind.RETRIER, Kind.FAMILY}
    for participant in participants:
        if (
            participant.result in {Result.EMPTY_HANDED, Result.LAPSED}
            and participant.kind in wanted
            and len(again) < story.units(0.5)
        ):
            again.append(participant.shopper.person)
            kept[participant.shopper.person.code] = participant.shopper
            lines[participant.shopper.person.code] = AGAIN.format(participant.shopper.line)
    fresh = factory.crowd(size=max(20, 2 * public), channels=WHERE_UNITS_GO, plain=True)
    lines |= {person.code: PUBLIC for person in fresh}
    return [*invited, *strangers, *again, *fresh], lines | dict.fromkeys(WHERE_UNITS_GO, PUBLIC), kept


def _by_page(person: Person) -> Person:
    return replace(person, channel=poco.PAGE)


def _theirs(story: Story, attendance: Attendance) -> Check:
    """A unit was kept for each who was wronged, and nobody had to be quick."""
    codes = {person.code for person in lost(story).values()}
    bought = [
        participant.result is Result.BOUGHT
        for participant in attendance.participants
        if participant.shopper.person.code in codes
    ]
    return Check(
        11,
        "whoever was wronged gets a unit",
        all(bought) and len(bought) == len(codes),
        f"{sum(bought)} of {len(codes)} have one",
        "all",
    )


def _bound(attendance: Attendance) -> Check:
    """An invitation is of no use to anybody else: refused after proof, and nothing changes."""
    strangers = [
        v for v in attendance.participants if v.shopper.line == WRONGED and v.shopper.person.code.startswith("p004")
    ]
    refused = [
        participant.result is Result.STOPPED and participant.refusal == "not_eligible" for participant in strangers
    ]
    held = all(refused) and len(refused) == STRANGERS
    return Check(11, "an invitation admits nobody else", held, f"{sum(refused)} strangers refused", f"{STRANGERS}")


def _same_numbers(story: Story) -> Check:
    """Who shows an old place stands where they stood."""
    stood = {
        (who, line): number for (sale, line, who), number in numbers(story.observed).items() if sale == january_26.CODE
    }
    shown = [
        (int(answer.body["index"]), stood.get((answer.who, answer.line.removesuffix("-again"))))
        for answer in story.journal.answers_to("enter", sale=CODE)
        if answer.ok and answer.line.endswith("-again")
    ]
    kept = sum(index == number for index, number in shown)
    return Check(
        6,
        "old numbers are carried over (order)",
        kept == len(shown) > 0,
        f"{kept} of {len(shown)} people with an old place stand where they stood",
        "all",
    )
