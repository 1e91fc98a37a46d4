"""Appeals in the story: buyers appeal through the link in their letter, and a third person decides."""

from flashsale.life import appeal as appealing
from flashsale.models import Appeal, Case, Notice, Reservation, Sale
from flashsale.rules.outcomes import Refused
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import AppealState, NoticeState, Remedy, ReservationState
from simulation import appeal_form
from simulation.observations import Check
from simulation.story import Story, wait_for

# Honest buyers whose orders are cancelled in haste for a wrong reason. The appeals of the last LATE of them are decided
# only after the units went on to another sale.
HASTY, LATE = 5, 2
# Members of rings who appeal although their orders were cancelled rightly.
RING_APPEALS = 2
LETTERS_S = 60.0


def decide_appeals(story: Story, sale: Sale) -> list[Check]:
    """Buyers send their appeals, and all of them except the late ones are decided."""
    cases = Case.objects.filter(reservation__sale=sale, reason=ReasonCode.ONE_PERSON_MANY_IDENTITIES).order_by("pk")
    hasty_cases = list(cases.filter(rules_hash=""))
    ring_cases = list(cases.exclude(rules_hash="")[:RING_APPEALS])
    received = _send_appeals(story, sale, [*hasty_cases, *ring_cases])
    refused = [_refuses_first_deciders(story, case) for case in [*hasty_cases, *ring_cases]]
    for case in hasty_cases[: HASTY - LATE]:
        appealing.decide(appeal=case.appeal, overturned=True, by=story.staff[2])
    for case in ring_cases:
        appealing.decide(appeal=case.appeal, overturned=False, by=story.staff[2])
    third = Check(
        11,
        "no person decides about their own decision",
        all(refused),
        f"{sum(refused)} of {len(refused)} refused",
        "all",
    )
    return [received, third, _restored(hasty_cases[: HASTY - LATE]), _outcome_letters(sale)]


def decide_late(story: Story, sale: Sale) -> dict[str, int]:
    """Decides the late appeals, after the units went on. Returns the number of appeals by remedy."""
    late = Appeal.objects.filter(case__reservation__sale=sale, state=AppealState.OPEN).order_by("pk")
    remedies = [appealing.decide(appeal=row, overturned=True, by=story.staff[2]).remedy for row in late]
    return {str(remedy): remedies.count(remedy) for remedy in Remedy}


def _send_appeals(story: Story, sale: Sale, cases: list[Case]) -> Check:
    people = {v.reservation: v.shopper.person for v in story.attendances[sale.code].participants if v.reservation}
    story.outbox.scan()
    accepted = 0
    for case in cases:
        reservation = str(case.reservation_id)
        answers = appeal_form.send_appeal(
            url=appeal_form.find_link(story.outbox.mails, reservation, about="appeal"),
            person=people[reservation],
            sale=sale.code,
            reservation=reservation,
            words="We are two families in one house.",
        )
        accepted += all(story.journal.add(answer).ok for answer in answers)
        case.refresh_from_db()
    appeals = Appeal.objects.filter(case__in=cases, state=AppealState.OPEN).count()
    return Check(
        11,
        "an appeal sent twice arrives once",
        accepted == appeals == len(cases),
        f"{appeals} appeals of {len(cases)} buyers, each sent twice",
        "one each",
    )


def _refuses_first_deciders(story: Story, case: Case) -> bool:
    for member in story.staff[:2]:
        try:
            appealing.decide(appeal=case.appeal, overturned=True, by=member)
        except Refused:
            continue
        return False
    return True


def _restored(cases: list[Case]) -> Check:
    orders = Reservation.objects.filter(case__in=cases)
    standing = sum(
        order.state == ReservationState.CONFIRMED and [held.active for held in order.items] == [True]
        for order in orders.prefetch_related("reservation_units")
    )
    return Check(
        11,
        "orders of won appeals are restored, with their units",
        standing == len(cases),
        f"{standing} of {len(cases)} restored",
        "all",
    )


def _outcome_letters(sale: Sale) -> Check:
    """Each buyer whose appeal was decided gets one letter with the outcome."""
    decided = Appeal.objects.filter(case__reservation__sale=sale).exclude(state=AppealState.OPEN).count()
    letters = Notice.objects.filter(kind=Notice.Kind.DECIDED, sale=sale)
    wait_for(lambda: letters.filter(state=NoticeState.SENT).count() >= decided, seconds=LETTERS_S)
    sent = letters.filter(state=NoticeState.SENT).count()
    return Check(
        11, "buyers who appealed get the outcome by letter", sent == decided, f"{sent} of {decided} letters", "one each"
    )
