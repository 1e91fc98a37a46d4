"""27 January: the review finds the rings, two people decide about each case, and buyers get the reason by letter."""

from collections import Counter

from flashsale import tasks
from flashsale.life import review
from flashsale.models import Appeal, Cancellation, Case, Notice, Reservation, ReviewRun, Sale
from flashsale.rules.outcomes import Refused
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import CaseState, NoticeState, ReservationState
from simulation.acts import appeals
from simulation.behaviour import Result
from simulation.observations import Check
from simulation.people import Kind
from simulation.story import Story, wait_for

REVIEW_S = 60.0
# Good orders that are cancelled by the shop's own mistake. Their buyers get an invitation to the next sale.
MISTAKES = 3
# The rules do not suspect people who share a device or a card as a family does. They must find all orders of a ring of
# this size or larger.
RING_SEEN_FROM = 9


def play(story: Story, sale: Sale) -> None:
    """Runs the review and kills its worker once; then two people decide about each case, and buyers get letters."""
    run = review.start(sale=sale)
    tasks.carry_on_review.delay(run=run.pk)
    wait_for(lambda: _under_way(ReviewRun.objects.get(pk=run.pk)), seconds=REVIEW_S, every_s=0.001)
    story.servers.worker.kill()
    at_kill = ReviewRun.objects.get(pk=run.pk)
    story.servers.restart_worker()
    done = wait_for(lambda: ReviewRun.objects.get(pk=run.pk).finished_at is not None, seconds=REVIEW_S)
    run.refresh_from_db()
    story.show_progress(
        f"27 January: worker killed after {at_kill.scored} of {at_kill.orders} orders, {run.scored} scored in the end"
    )
    killed = Check(
        5,
        "the review survives its worker",
        done and run.scored == run.orders,
        f"killed at {at_kill.scored}, then {run.scored} of {run.orders} scored",
        "all scored",
    )
    two_people = _decide(story, sale)
    notices = _cancellation_letters(story, sale)
    cancelled = Counter(Cancellation.objects.filter(reservation__sale=sale).values_list("reason", flat=True))
    appeal_checks = appeals.decide_appeals(story, sale)
    story.reload_unit_history()
    story.add_checks("27 January", [killed, two_people, _found(story, sale), notices, *appeal_checks])
    won = Counter(Appeal.objects.filter(case__reservation__sale=sale).values_list("state", flat=True))
    story.add_act("27 January", orders=run.orders, cancelled=dict(cancelled), appeals=dict(won))


def _under_way(run: ReviewRun) -> bool:
    """Whether the review is between start and end. A review of a single chunk has no middle, so its start counts."""
    return run.scored > 0 or 0 < run.orders <= review.CHUNK


def _decide(story: Story, sale: Sale) -> Check:
    """One person proposes and another approves. The same person cannot do both."""
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
    return Check(11, "no person decides alone", refused == tried, f"{refused} of {tried} refused", "all refused")


def _refuses_to_approve(case: Case, story: Story) -> bool:
    try:
        review.approve(case=case, by=story.staff[0])
    except Refused:
        return True
    return False


def _honest_orders(story: Story, sale: Sale) -> list[Reservation]:
    participants = story.attendances[sale.code].participants
    candidates = [v.reservation for v in participants if v.kind is Kind.HONEST and v.result is Result.BOUGHT]
    orders = Reservation.objects.filter(pk__in=candidates, state=ReservationState.CONFIRMED, case=None)
    return list(orders.order_by("made_at"))


def _found(story: Story, sale: Sale) -> Check:
    """All orders of rings larger than a family are found, and no honest order is suspected.

    A code or an account number shows us no card. So on our page, an order of a ring that shares only cards looks like
    any other.
    """
    participants = story.attendances[sale.code].participants
    bought = [participant for participant in participants if participant.result is Result.BOUGHT]
    ring_orders = [participant for participant in bought if participant.kind is Kind.RING]
    devices = Counter(one.shopper.person.device for one in ring_orders)
    traced = [
        one for one in ring_orders if one.shopper.person.channel in story.keys or devices[one.shopper.person.device] > 1
    ]
    members = Counter(one.shopper.person.ring for one in traced)
    must_find = {one.reservation for one in traced if members[one.shopper.person.ring] >= RING_SEEN_FROM}
    cases = Case.objects.filter(reservation__sale=sale).exclude(rules_hash="")
    suspected = {str(reservation) for reservation in cases.values_list("reservation_id", flat=True)}
    rings = {participant.reservation for participant in ring_orders}
    return Check(
        11,
        "the review finds the rings and no honest order",
        must_find <= suspected <= rings,
        f"{len(suspected & rings)} of {len(rings)} ring orders found, {len(must_find - suspected)} missing of rings "
        f"with {RING_SEEN_FROM} orders or more, {len(suspected - rings)} honest orders suspected",
        "none missing of larger rings, none honest",
    )


def _cancellation_letters(story: Story, sale: Sale) -> Check:
    """Every buyer who lost an order gets exactly one letter about it."""
    cancelled = Cancellation.objects.filter(reservation__sale=sale).count()
    letters = Notice.objects.filter(sale=sale, kind=Notice.Kind.CANCELLED)
    wait_for(lambda: letters.filter(state=NoticeState.SENT).count() >= cancelled, seconds=REVIEW_S)
    story.outbox.scan()
    ids = {str(c) for c in Cancellation.objects.filter(reservation__sale=sale).values_list("reservation_id", flat=True)}
    letters_about = [mail.message_id for mail in story.outbox.mails if mail.message_id.startswith("<cancelled-")]
    letter_counts = Counter(id_ for about in letters_about for id_ in ids if id_ in about)
    right = sum(count == 1 for count in letter_counts.values())
    return Check(
        11,
        "each cancelled buyer gets one letter",
        right == cancelled == len(ids),
        f"{right} of {cancelled} letters in the outbox",
        "one letter each",
    )
