"""Appeals in the story: buyers object through the link of their letter, and a third person decides."""

from flashsale.life import appeal as appealing
from flashsale.models import Appeal, Case, Notice, Reservation, Sale
from flashsale.rules.outcomes import Refused
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import AppealState, NoticeState, Remedy, ReservationState
from simulation import appeal_form
from simulation.observations import Check
from simulation.story import Story, wait_for

# Honest buyers cancelled in haste, under a reason that was not true; the last are heard after the units have gone on.
HASTY, LATE = 5, 2
# Members of rings who object all the same.
BOLD = 2
LETTERS_S = 60.0


def decide_appeals(story: Story, sale: Sale) -> list[Check]:
    """The appeals come in through their letters; all but the late ones are decided."""
    cases = Case.objects.filter(reservation__sale=sale, reason=ReasonCode.ONE_PERSON_MANY_IDENTITIES).order_by("pk")
    hasty = list(cases.filter(rules_hash=""))
    bold = list(cases.exclude(rules_hash="")[:BOLD])
    came = _object(story, sale, [*hasty, *bold])
    refused = [_refuses_both(story, case) for case in [*hasty, *bold]]
    for case in hasty[: HASTY - LATE]:
        appealing.decide(appeal=case.appeal, overturned=True, by=story.staff[2])
    for case in bold:
        appealing.decide(appeal=case.appeal, overturned=False, by=story.staff[2])
    third = Check(
        11, "nobody decides about their own decision", all(refused), f"{sum(refused)} of {len(refused)} refused", "all"
    )
    return [came, third, _stand_again(hasty[: HASTY - LATE]), _told(sale)]


def decide_late(story: Story, sale: Sale) -> dict[str, int]:
    """What the appeals bring that are won after the units have gone on, by remedy."""
    late = Appeal.objects.filter(case__reservation__sale=sale, state=AppealState.OPEN).order_by("pk")
    remedies = [appealing.decide(appeal=row, overturned=True, by=story.staff[2]).remedy for row in late]
    return {str(remedy): remedies.count(remedy) for remedy in Remedy}


def _object(story: Story, sale: Sale, cases: list[Case]) -> Check:
    people = {v.reservation: v.shopper.person for v in story.attendances[sale.code].participants if v.reservation}
    story.outbox.scan()
    appeal_checks = 0
    for case in cases:
        reservation = str(case.reservation_id)
        answers = appeal_form.send(
            url=appeal_form.find_link(story.outbox.mails, reservation, about="appeal"),
            person=people[reservation],
            sale=sale.code,
            reservation=reservation,
            words="We are two families in one house.",
        )
        appeal_checks += all(story.journal.add(answer).ok for answer in answers)
        case.refresh_from_db()
    appeals = Appeal.objects.filter(case__in=cases, state=AppealState.OPEN).count()
    return Check(
        11,
        "appeals come in by the letter's link, once",
        appeal_checks == appeals == len(cases),
        f"{appeals} appeals of {len(cases)} buyers, each sent twice",
        "one each",
    )


def _refuses_both(story: Story, case: Case) -> bool:
    for member in story.staff[:2]:
        try:
            appealing.decide(appeal=case.appeal, overturned=True, by=member)
        except Refused:
            continue
        return False
    return True


def _stand_again(cases: list[Case]) -> Check:
    orders = Reservation.objects.filter(case__in=cases)
    standing = sum(
        order.state == ReservationState.CONFIRMED and [held.active for held in order.items] == [True]
        for order in orders.prefetch_related("reservation_units")
    )
    return Check(
        11,
        "orders of appeals that were won stand again, with their units",
        standing == len(cases),
        f"{standing} of {len(cases)} restored",
        "all",
    )


def _told(sale: Sale) -> Check:
    """Who was heard knows what came of it."""
    decided = Appeal.objects.filter(case__reservation__sale=sale).exclude(state=AppealState.OPEN).count()
    letters = Notice.objects.filter(kind=Notice.Kind.DECIDED, sale=sale)
    wait_for(lambda: letters.filter(state=NoticeState.SENT).count() >= decided, seconds=LETTERS_S)
    sent = letters.filter(state=NoticeState.SENT).count()
    return Check(11, "appellants are told the outcome", sent == decided, f"{sent} of {decided} letters", "one each")
