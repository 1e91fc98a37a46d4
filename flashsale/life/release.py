"""Release: a buyer gives a held reservation back instead of paying."""

import uuid

from django.db import transaction

from flashsale.books.endings import describe_ended, end
from flashsale.gate import bridge
from flashsale.life.give_back import give_back
from flashsale.life.sale_card import card_of
from flashsale.models import Reservation
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import ReservationState


def release(*, reservation: uuid.UUID, channel: int) -> Reservation:
    """Ends a hold because its owner asks for it. Its units go to the next number. Safe to repeat.

    PostgreSQL ends the hold first. If the process dies before Redis gets the end, a retry sends it at once; otherwise
    mending sends it, or the reaper at the deadline.
    Refuses NOT_FOUND and NOT_HELD. Raises GateDown when Redis does not answer.
    """
    with transaction.atomic():
        row = (
            Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
            .filter(pk=reservation, channel=channel).first()
        )  # fmt: skip
        if row is None:
            raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
        if row.state == ReservationState.HELD:
            ended = end(row, state=ReservationState.RELEASED, now=wall_clock.now())
        elif row.state == ReservationState.RELEASED:
            ended = describe_ended(row)
        else:
            raise Refused(Outcome.NOT_HELD, f"The reservation is {row.state}.")
    bridge.run(give_back(card=card_of(row.sale), ended=ended))
    return row
