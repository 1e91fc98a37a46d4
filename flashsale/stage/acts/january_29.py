"""29 January: an additional sale on Lazada alone, fed by what was cancelled."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flashsale.life import reallocate, schedule
from flashsale.models import Cancellation, Move, Sale, Unit
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import UnitState
from flashsale.stage import campaign as poco
from flashsale.stage import checks
from flashsale.stage.acts import january_26
from flashsale.stage.behaviour import End
from flashsale.stage.people import Kind, Person
from flashsale.stage.seen import Check
from flashsale.stage.story import Story

CODE = "29-january"
LINE = "lazada"
# One returned unit in ten waits for appeals; published with the plan.
RESERVE_OF_POOL = 10


def act(story: Story, source: Sale) -> Sale:
    """Units move by a plan; those cancelled by mistake are invited, those who went empty-handed come again."""
    sale = _plan(story)
    kept = Unit.objects.filter(allocation__sale=source, state=UnitState.RETURNED).count() // RESERVE_OF_POOL
    reallocate.reallocate(source=source, target=sale.allocations.get(), reserve=kept, by=story.staff[0])
    schedule.publish(sale=sale)
    moved = Unit.objects.filter(allocation__sale=sale).count()
    story.announce(sale, {LINE: moved})
    people = [*_invited(story), *_empty_handed(story)]
    story.say(f"29 January: {moved} units came back, {len(people)} people on Lazada")
    attendance = story.attend(sale, people, {LINE: LINE})
    story.refresh()
    story.note("29 January", units=moved, people=len(people), ends=attendance.ends())
    found = [*checks.everything(story.seen), _traceable(story, source, sale, kept), _letters(story)]
    story.judge("29 January", found)
    return sale


def _plan(story: Story) -> Sale:
    clock, now = story.clock, datetime.now(UTC)
    opens = now + timedelta(seconds=clock.lobby_s / 2 + 2)
    return poco.sale(
        campaign=story.campaign, code=CODE, name="29 January 2021", units={LINE: 0},
        times=(now - timedelta(seconds=1), opens, opens + timedelta(seconds=clock.open_s)),
        claim_s=clock.claim_s, hold_s=clock.hold_s, rate_per_s=clock.rate_per_s,
    )  # fmt: skip


def _empty_handed(story: Story) -> list[Person]:
    """Everybody honest who got nothing the first time, on their way to Lazada."""
    visits = story.attendances[january_26.CODE].visits
    wanted = {End.EMPTY_HANDED, End.LAPSED}
    kinds = {Kind.HONEST, Kind.DOUBLE, Kind.RETRIER, Kind.FAMILY}
    people = [visit.shopper.person for visit in visits if visit.end in wanted and visit.kind in kinds]
    return [replace(person, channel=LINE) for person in people[: max(20, story.units(0.5))]]


def _invited(story: Story) -> list[Person]:
    """Those cancelled by the shop's mistake: nothing of the limit is used up for them."""
    wrong = Cancellation.objects.filter(reason=ReasonCode.CANCELLED_BY_MISTAKE)
    ids = {str(reservation) for reservation in wrong.values_list("reservation_id", flat=True)}
    visits = story.attendances[january_26.CODE].visits
    return [replace(visit.shopper.person, channel=LINE) for visit in visits if visit.reservation in ids]


def _traceable(story: Story, source: Sale, sale: Sale, kept: int) -> Check:
    """Cancelled = moved + in the pool, and each unit of the sale came from one cancellation."""
    cancelled = Cancellation.objects.filter(reservation__sale=source).count()
    pool = Unit.objects.filter(allocation__sale=source, state=UnitState.RETURNED).count()
    moves = set(Move.objects.filter(target__sale=sale).values_list("unit__serial", "cancellation_id"))
    came = {serial for serial, _ in moves}
    sold = {way["serial"] for way in story.seen.ways if way["sale"] == CODE and way["reservation"]}
    held = cancelled == len(moves) + pool and pool == kept and sold <= came and len(moves) == len(came)
    return Check(
        10, "cancelled units are moved or in the pool", held,
        f"{cancelled} cancelled = {len(moves)} moved + {pool} in the pool; {len(sold)} sold again", "all traceable",
    )  # fmt: skip


def _letters(story: Story) -> Check:
    """Who was cancelled by mistake has been written to, with a link into the sale."""
    people = _invited(story)
    story.outbox.scan()
    lazada = next(channel["entry_url"] for channel in poco.CHANNELS if channel["code"] == LINE)
    invited = {mail.to.lower() for mail in story.outbox.mails if re.search(re.escape(lazada), mail.text)}
    right = sum(person.email.lower() in invited for person in people)
    return Check(
        11, "wrongly cancelled buyers are invited", right == len(people), f"{right} of {len(people)} invited", "all",
    )  # fmt: skip
