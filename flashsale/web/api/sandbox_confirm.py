"""Confirm with a test key: magic identities, and what the checklist of the sandbox must know."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flashsale.life import sandbox_calls
from flashsale.life.payment_request import CallKey
from flashsale.life.review import open_case
from flashsale.models import Reservation
from flashsale.rules.magic import Magic
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import ReservationState
from flashsale.web.api.confirm_once import Answer, confirm_once


async def confirm_in_sandbox(*, reservation: UUID, call: CallKey, values: Mapping[str, Any]) -> Answer:
    """As `confirm_once`, for a reservation of a test channel. Stores the call. Refuses as `confirm_once` does."""
    sale = await sandbox_calls.in_turn(
        call.channel, sandbox_calls.sale_of, reservation=reservation, channel=call.channel
    )
    if sale is None:
        return await confirm_once(reservation=reservation, call=call, values=values)
    magic = Magic.find(values["buyer"].identity)
    code, facts = "", {}
    try:
        answer = await _confirm(sale, magic, reservation=reservation, call=call, values=values)
        code = sandbox_calls.REPEATED if answer.replayed else sandbox_calls.OK
        facts = {"state": json.loads(answer.text)["state"]}
    except Refused as refused:
        code, facts = refused.outcome.value, {"retry_after_s": refused.retry_after_s}
        raise
    finally:
        if code:
            await sandbox_calls.in_turn(
                call.channel, sandbox_calls.note, channel=call.channel, sale=sale, verb="confirm", code=code,
                subject=str(reservation), key=call.key, magic=magic.name if magic else "", facts=facts,
            )  # fmt: skip
    return answer


async def _confirm(
    sale: int, magic: Magic | None, *, reservation: UUID, call: CallKey, values: Mapping[str, Any]
) -> Answer:
    if magic is None or magic.verb != "confirm":
        return await confirm_once(reservation=reservation, call=call, values=values)
    is_first = not await sandbox_calls.in_turn(
        call.channel, sandbox_calls.had_magic_answer, sale=sale, subject=str(reservation), magic=magic
    )
    magic.refuse_before(is_first=is_first)
    answer = await confirm_once(reservation=reservation, call=call, values=values)
    if magic.when == "after":
        await sandbox_calls.in_turn(call.channel, _review, reservation, call.channel)
    magic.refuse_after(is_first=is_first)
    return answer


def _review(reservation: UUID, channel: int) -> None:
    row = Reservation.objects.get(pk=reservation)
    if row.state == ReservationState.CONFIRMED:
        open_case(reservation=row, by=f"channel:{channel}")
