"""29 January as it was: an additional sale on Lazada only, with the units of cancelled orders."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from flashsale.life import reallocate
from flashsale.models import Appeal, Cancellation, Move, Notice, Reservation, Sale, Unit
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import NoticeState, Remedy, UnitState
from simulation import appeal_form, checks
from simulation import poco_campaign as poco
from simulation.acts import appeals, january_26
from simulation.behaviour import Result
from simulation.observations import Check
from simulation.people import Kind, Person
from simulation.story import Story, publish, wait_for

CODE = "29-january"
LINE = "lazada"
# One returned unit in ten is kept for appeals. The plan publishes this number.
RESERVE_OF_POOL = 10
LETTERS_S = 30.0


def play(story: Story, source: Sale) -> Sale:
    """Moves the returned units, invites wrongly cancelled buyers, and sends them and earlier empty-handed people."""
    sale = _plan(story)
    pool = Unit.objects.filter(allocation__sale=source, state=UnitState.RETURNED).count()
    kept = max(appeals.LATE, pool // RESERVE_OF_POOL)
    reallocate.reallocate(source=source, target=sale.allocations.get(), reserve=kept, by=story.staff[0])
    publish(sale)
    late = appeals.decide_late(story, source)
    invitations = invitation_letters(
        story, sale, shows=next(channel["entry_url"] for channel in poco.CHANNELS if channel["code"] == LINE)
    )
    moved = Unit.objects.filter(allocation__sale=sale).count()
    story.announce(sale, {LINE: moved})
    people = [*wronged(story), *_empty_handed(story)]
    story.show_progress(f"29 January: {moved} units came back, {len(people)} people on Lazada")
    attendance = story.send_crowd(sale, people, {LINE: LINE})
    story.reload_unit_history()
    story.add_act("29 January", units=moved, people=len(people), ends=attendance.result_counts(), late_appeals=late)
    found = [*checks.check_all(story.observed), traceable(story, source, kept), invitations]
    story.add_checks("29 January", found)
    return sale


def _plan(story: Story) -> Sale:
    timing, now = story.timing, datetime.now(UTC)
    opens = now + timedelta(seconds=timing.lobby_s / 2 + 2)
    return poco.sale(
        campaign=story.campaign,
        code=CODE,
        name="29 January 2021",
        units={LINE: 0},
        times=(now - timedelta(seconds=1), opens, opens + timedelta(seconds=timing.open_s)),
        claim_s=timing.claim_s,
        hold_s=timing.hold_s,
        rate_per_s=timing.rate_per_s,
    )


def _empty_handed(story: Story) -> list[Person]:
    """Honest people who got nothing in the first sale. They now come to Lazada."""
    participants = story.attendances[january_26.CODE].participants
    results = {Result.EMPTY_HANDED, Result.LAPSED}
    kinds = {Kind.HONEST, Kind.DOUBLE, Kind.RETRIER, Kind.FAMILY}
    people = [
        participant.shopper.person
        for participant in participants
        if participant.result in results and participant.kind in kinds
    ]
    return [replace(person, channel=LINE) for person in people[: max(20, story.units(0.5))]]


def wronged(story: Story) -> list[Person]:
    """Buyers cancelled by the shop's mistake. Their cancelled orders do not count against the limit."""
    return [replace(person, channel=LINE) for person in wronged_by_reservation(story).values()]


def wronged_by_reservation(story: Story) -> dict[str, Person]:
    """People whose order was cancelled by mistake, or who won an appeal when no unit was left; by reservation."""
    wrong = Q(cancellation__reason=ReasonCode.CANCELLED_BY_MISTAKE) | Q(case__appeal__remedy=Remedy.PRIORITY)
    ids = {str(id_) for id_ in Reservation.objects.filter(wrong).values_list("pk", flat=True)}
    participants = story.attendances[january_26.CODE].participants
    return {
        participant.reservation: participant.shopper.person
        for participant in participants
        if participant.reservation in ids
    }


def traceable(story: Story, source: Sale, kept: int) -> Check:
    """Cancelled = moved + restored + in the pool, and each unit of the next sale comes from one cancellation."""
    cancelled = Cancellation.objects.filter(reservation__sale=source).count()
    pool = Unit.objects.filter(allocation__sale=source, state=UnitState.RETURNED).count()
    restored = Appeal.objects.filter(case__reservation__sale=source, remedy=Remedy.RESTORED).count()
    moves = set(Move.objects.filter(plan__source=source).values_list("unit__serial", "cancellation_id"))
    came = {serial for serial, _ in moves}
    sold = {row["serial"] for row in story.observed.unit_history if row["sale"] == CODE and row["reservation"]}
    held = cancelled == len(moves) + restored + pool and pool <= kept and sold <= came and len(moves) == len(came)
    return Check(
        10,
        "cancelled units are moved, restored or in the pool",
        held,
        f"{cancelled} cancelled = {len(moves)} moved + {restored} restored + {pool} in the pool; "
        f"{len(sold)} sold again",
        "all traceable",
    )


def invitation_letters(story: Story, sale: Sale, *, shows: str) -> Check:
    """Each wronged buyer gets a letter with their own link, to a page that shows how to enter the sale."""
    notices = Notice.objects.filter(sale=sale, kind=Notice.Kind.INVITED)
    wait_for(lambda: not notices.exclude(state=NoticeState.SENT).exists(), seconds=LETTERS_S)
    story.outbox.scan()
    links = [
        appeal_form.find_link(story.outbox.mails, id_, about="invitation") for id_ in wronged_by_reservation(story)
    ]
    valid = sum(bool(link) and shows in appeal_form.read_letter(link) for link in links)
    distinct = len(set(links)) == len(links)
    return Check(
        11,
        "wrongly cancelled buyers are invited",
        valid == len(links) and distinct,
        f"{valid} of {len(links)} invited, each by their own link",
        "all",
    )
