"""27 January: the review finds the rings, two people decide about each case, and buyers are told why."""

from collections import Counter

from flashsale import tasks
from flashsale.life import review
from flashsale.models import Appeal, Cancellation, Case, Notice, Reservation, ReviewRun, Sale
from flashsale.rules.outcomes import Refused
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import CaseState, NoticeState, ReservationState
from simulation.acts import appeals
from simulation.behaviour import End
from simulation.observations import Check
from simulation.people import Kind
from simulation.story import Story, wait_for

REVIEW_S = 60.0
# Orders cancelled although nothing was wrong with them: the shop's own mistake, repaired by an invitation.
MISTAKES = 3
# The rules suspect nobody for sharing a device or a card with a family; a larger ring has to be found whole.
RING_SEEN_FROM = 9


def act(story: Story, sale: Sale) -> None:
    """The review finds the rings, its worker dies on the way; two people decide; buyers are told."""
    run = review.start(sale=sale)
    tasks.carry_on_review.delay(run=run.pk)
    wait_for(lambda: _under_way(ReviewRun.objects.get(pk=run.pk)), seconds=REVIEW_S, every_s=0.001)
    story.servers.worker.kill()
    dead_at = ReviewRun.objects.get(pk=run.pk)
    story.servers.restart_worker()
    done = wait_for(lambda: ReviewRun.objects.get(pk=run.pk).finished_at is not None, seconds=REVIEW_S)
    run.refresh_from_db()
    story.say(
        f"27 January: worker killed after {dead_at.scored} of {dead_at.orders} orders, {run.scored} scored in the end"
    )
    killed = Check(
        5, "the review survives its worker", done and run.scored == run.orders,
        f"killed at {dead_at.scored}, then {run.scored} of {run.orders} scored", "all scored",
    )  # fmt: skip
    alone = _decide(story, sale)
    notices = _told(story, sale)
    cancelled = Counter(Cancellation.objects.filter(reservation__sale=sale).values_list("reason", flat=True))
    heard = appeals.hear(story, sale)
    story.refresh()
    story.judge("27 January", [killed, alone, _found(story, sale), notices, *heard])
    won = Counter(Appeal.objects.filter(case__reservation__sale=sale).values_list("state", flat=True))
    story.note("27 January", orders=run.orders, cancelled=dict(cancelled), appeals=dict(won))


def _under_way(run: ReviewRun) -> bool:
    """Whether a part is scored; a review of one chunk has no middle but its beginning."""
    return run.scored > 0 or 0 < run.orders <= review.CHUNK


def _decide(story: Story, sale: Sale) -> Check:
    """One proposes, another approves; who tries to do both is refused."""
    dewi, agus, _rina = story.staff
    refused = tried = 0
    for case in Case.objects.filter(reservation__sale=sale, state=CaseState.OPEN):
        review.propose(case=case, code=ReasonCode.ONE_PERSON_MANY_IDENTITIES, by=dewi)
        if tried < MISTAKES:
            tried += 1
            refused += _refuses_to_approve(case, story)
        review.approve(case=case, by=agus)
    honest = _honest_orders(story, sale)
    wrong = [(order, ReasonCode.CANCELLED_BY_MISTAKE) for order in honest[:MISTAKES]]
    wrong += [(order, ReasonCode.ONE_PERSON_MANY_IDENTITIES) for order in honest[MISTAKES : MISTAKES + appeals.HASTY]]
    for reservation, code in wrong:
        case = review.open_case(reservation=reservation)
        review.propose(case=case, code=code, by=agus)
        review.approve(case=case, by=dewi)
    return Check(11, "nobody decides alone", refused == tried, f"{refused} of {tried} refused", "all refused")


def _refuses_to_approve(case: Case, story: Story) -> bool:
    try:
        review.approve(case=case, by=story.staff[0])
    except Refused:
        return True
    return False


def _honest_orders(story: Story, sale: Sale) -> list[Reservation]:
    visits = story.attendances[sale.code].visits
    wanted = [v.reservation for v in visits if v.kind is Kind.HONEST and v.end is End.BOUGHT]
    orders = Reservation.objects.filter(pk__in=wanted, state=ReservationState.CONFIRMED, case=None)
    return list(orders.order_by("made_at"))


def _found(story: Story, sale: Sale) -> Check:
    """Rings larger than a family are found whole; nobody honest is suspected."""
    visits = story.attendances[sale.code].visits
    bought = [visit for visit in visits if visit.end is End.BOUGHT]
    members = Counter(visit.shopper.person.ring for visit in bought if visit.kind is Kind.RING)
    wanted = {v.reservation for v in bought if v.kind is Kind.RING and members[v.shopper.person.ring] >= RING_SEEN_FROM}
    cases = Case.objects.filter(reservation__sale=sale).exclude(rules_hash="")
    suspected = {str(reservation) for reservation in cases.values_list("reservation_id", flat=True)}
    rings = {visit.reservation for visit in bought if visit.kind is Kind.RING}
    return Check(
        11, "the review finds the rings and nobody honest", wanted <= suspected <= rings,
        f"{len(suspected & rings)} of {len(rings)} orders of rings found, {len(wanted - suspected)} missing of rings "
        f"with {RING_SEEN_FROM} orders or more, {len(suspected - rings)} honest orders suspected",
        "none missing of larger rings, none honest",
    )  # fmt: skip


def _told(story: Story, sale: Sale) -> Check:
    """Every buyer who lost an order has exactly one letter about it."""
    cancelled = Cancellation.objects.filter(reservation__sale=sale).count()
    letters = Notice.objects.filter(sale=sale, kind=Notice.Kind.CANCELLED)
    wait_for(lambda: letters.filter(state=NoticeState.SENT).count() >= cancelled, seconds=REVIEW_S)
    story.outbox.scan()
    ids = {str(c) for c in Cancellation.objects.filter(reservation__sale=sale).values_list("reservation_id", flat=True)}
    told = Counter(id_ for mail in story.outbox.mails for id_ in ids if id_ in mail.message_id)
    right = sum(count == 1 for count in told.values())
    return Check(
        11, "everybody cancelled is told, once", right == cancelled == len(ids),
        f"{right} of {cancelled} letters in the outbox", "one letter each",
    )  # fmt: skip
