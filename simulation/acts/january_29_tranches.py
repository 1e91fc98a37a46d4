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
from simulation.behaviour import End
from simulation.crowd import Attendance
from simulation.observations import Check
from simulation.order import numbers
from simulation.people import Kind, Person, Town
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


def act(story: Story, source: Sale) -> Sale:
    """The plan is published and Celery carries it out; everybody comes by the way that is theirs."""
    # Everybody may be home before the sale is over; its order is carried over when it can no longer grow.
    wait_for(lambda: _over(source), seconds=story.clock.open_s)
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
    story.say(f"29 January: {sum(units.values())} units came back ({shares}), {len(people)} people")
    fed = {line.code: _fed_until(line, story) for line in sale.allocations.all()}
    attendance = story.attend(sale, people, lines, kept=kept, fed_until=fed)
    for line in sale.allocations.all():
        story.seen.units[CODE, line.code] += Move.objects.filter(target=line, plan=None).count()
        story.seen.rolling.add((CODE, line.code))
    story.refresh()
    story.note(
        "29 January", units=sum(units.values()), people=len(people), ends=attendance.ends(), tranches=units,
        late_appeals=late,
    )  # fmt: skip
    found = [*checks.everything(story.seen), traceable(story, source, RESERVE), told]
    carried = Check(10, "the plan is carried out by itself", done, f"{len(plans)} plans", "all carried out")
    story.judge("29 January", [*found, carried, _theirs(story, attendance), _bound(attendance), _same_numbers(story)])
    return sale


def _over(source: Sale) -> bool:
    return Sale.objects.get(pk=source.pk).phase(ms(datetime.now(UTC))) is Phase.CLOSED


def _sale(story: Story, source: Sale) -> Sale:
    clock, now = story.clock, datetime.now(UTC)
    opens = now + timedelta(seconds=clock.lobby_s + BEATS_S)
    rolls = opens + timedelta(seconds=ROLLS * clock.open_s)
    to_public = {"successor": PUBLIC, "rolls_over_at": rolls}
    stock = dict.fromkeys(poco.SKUS, 0)
    again = [
        {"code": AGAIN.format(old.code), "name": f"{old.name}, 26 January", "channels": [old.code], "stock": stock,
         "carries": old, **to_public}
        for old in source.allocations.all()
    ]  # fmt: skip
    wronged = {"code": WRONGED, "name": "Wrongly cancelled", "channels": [poco.PAGE], "stock": stock, "listed": []}
    public = {"code": PUBLIC, "name": "Everybody", "channels": list(WHERE_UNITS_GO), "stock": stock}
    return schedule.plan_sale(
        campaign=story.campaign, code=CODE, name="29 January 2021", lobby_at=now - timedelta(seconds=1), opens_at=opens,
        closes_at=opens + timedelta(seconds=CLOSES * clock.open_s), offers=poco.OFFERS,
        lines=[{**wronged, **to_public}, *again, public], claim_s=clock.claim_s, hold_s=clock.hold_s,
        rate_per_s=clock.rate_per_s, max_entries=poco.ENTRIES_MAX,
    )  # fmt: skip


def _plan(story: Story, source: Sale, sale: Sale) -> list[Reallocation]:
    """One plan a line, in the order of the tranches; the dry run says how much there is to share."""
    lines = {line.code: line for line in sale.allocations.all()}
    there = reallocate.forecast(source=source, target=lines[PUBLIC], reserve=RESERVE).moves
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


def _fed_until(line: Allocation, story: Story) -> int:
    """Until when units may still come: what rolls over, and what open claims and holds give back after it."""
    rolls = line.predecessors.order_by("rolls_over_at").values_list("rolls_over_at", flat=True).last()
    return ms(rolls) + (story.clock.claim_s + story.clock.hold_s + 3) * 1000 if rolls else 0


def _people(story: Story, public: int) -> tuple[list[Person], dict[str, str], dict[str, Shopper]]:
    """Everybody, the line of each, and the places that they still have."""
    town = Town(seed=story.seed, mark=4)
    strangers = [town.person(Kind.HONEST, poco.PAGE) for _ in range(STRANGERS)]
    invited = [_by_page(person) for person in lost(story).values()]
    lines = {person.code: WRONGED for person in (*invited, *strangers)}
    # Who has shown on our page to be reached there need not do so again.
    visits = story.attendances[january_26.CODE].visits
    kept = {visit.shopper.person.code: visit.shopper for visit in visits if visit.reservation in lost(story)}
    again: list[Person] = []
    wanted = {Kind.HONEST, Kind.DOUBLE, Kind.RETRIER, Kind.FAMILY}
    for visit in visits:
        if visit.end in {End.EMPTY_HANDED, End.LAPSED} and visit.kind in wanted and len(again) < story.units(0.5):
            again.append(visit.shopper.person)
            kept[visit.shopper.person.code] = visit.shopper
            lines[visit.shopper.person.code] = AGAIN.format(visit.shopper.line)
    fresh = town.crowd(size=max(20, 2 * public), channels=WHERE_UNITS_GO, plain=True)
    lines |= {person.code: PUBLIC for person in fresh}
    return [*invited, *strangers, *again, *fresh], lines | dict.fromkeys(WHERE_UNITS_GO, PUBLIC), kept


def _by_page(person: Person) -> Person:
    return replace(person, channel=poco.PAGE)


def _theirs(story: Story, attendance: Attendance) -> Check:
    """A unit was kept for each who was wronged, and nobody had to be quick."""
    codes = {person.code for person in lost(story).values()}
    bought = [visit.end is End.BOUGHT for visit in attendance.visits if visit.shopper.person.code in codes]
    return Check(
        11, "whoever was wronged gets a unit", all(bought) and len(bought) == len(codes),
        f"{sum(bought)} of {len(codes)} have one", "all",
    )  # fmt: skip


def _bound(attendance: Attendance) -> Check:
    """An invitation is of no use to anybody else: refused after proof, and nothing changes."""
    strangers = [v for v in attendance.visits if v.shopper.line == WRONGED and v.shopper.person.code.startswith("p004")]
    refused = [visit.end is End.STOPPED and visit.why == "not_eligible" for visit in strangers]
    held = all(refused) and len(refused) == STRANGERS
    return Check(11, "an invitation admits nobody else", held, f"{sum(refused)} strangers refused", f"{STRANGERS}")


def _same_numbers(story: Story) -> Check:
    """Who shows an old place stands where they stood."""
    stood = {
        (who, line): number for (sale, line, who), number in numbers(story.seen).items() if sale == january_26.CODE
    }
    shown = [
        (int(answer.body["index"]), stood.get((answer.who, answer.line.removesuffix("-again"))))
        for answer in story.journal.of("enter", sale=CODE)
        if answer.ok and answer.line.endswith("-again")
    ]
    kept = sum(index == number for index, number in shown)
    return Check(
        6, "old numbers are carried over (order)", kept == len(shown) > 0,
        f"{kept} of {len(shown)} people with an old place stand where they stood", "all",
    )  # fmt: skip
