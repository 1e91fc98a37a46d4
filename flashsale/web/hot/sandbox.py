"""Test sales at the hot door: magic identities, and what the checklist of the sandbox must know about each call.

Only requests at the line of a test sale come here.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import sandbox_calls
from flashsale.rules import wall_clock
from flashsale.rules.magic import Magic
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PlaceState
from flashsale.web.hot.http import HotResponse, to_json
from flashsale.web.hot.request import LineRequest
from flashsale.web.idempotency import fingerprint

Act = Callable[[LineRequest], Awaitable[HotResponse]]
AT_A_PLACE = frozenset({"look", "leave", "wait", "receipt", "reserve"})
# What a look says about a place whose reservation will be refused so.
LOOKS = {Outcome.NOT_CALLED: PlaceState.WAITING, Outcome.LAPSED: PlaceState.LAPSED}


@dataclass
class _Subject:
    """What a call is about, and its magic identity."""

    name: str = ""
    magic: Magic | None = None
    facts: dict[str, Any] = field(default_factory=dict)


async def answer(request: LineRequest, verb: str, act: Act) -> HotResponse:
    """The answer of `act`, or the magic one. Stores the call in both cases. Refuses as `act` does."""
    subject = _Subject()
    try:
        await _find_subject(request, verb, subject)
        response = await _answer(request, verb, act, subject)
    except Refused as refused:
        await _note(request, verb, subject, refused.outcome.value, {"retry_after_s": refused.retry_after_s})
        raise
    repeated = (b"idempotency-replayed", b"true") in response.headers
    code = sandbox_calls.REPEATED if repeated else sandbox_calls.OK
    await _note(request, verb, subject, code, _facts(request, verb, response))
    return response


async def note_status(card: SaleCard, line: LineCard) -> None:
    """Stores that the status of a test sale was read. Anyone may read it, but only its partner knows its code."""
    channel = next(one for one in card.channels if one.code in line.channels)
    await sandbox_calls.in_turn(
        channel.id, sandbox_calls.note, channel=channel.id, sale=card.sale, verb="status", code=sandbox_calls.OK
    )


async def _find_subject(request: LineRequest, verb: str, subject: _Subject) -> None:
    sale = request.card.sale
    if verb == "enter":
        identity = request.identity()
        subject.name = fingerprint([sale, identity])
        subject.magic = Magic.find(identity)
    elif verb in AT_A_PLACE:
        index = request.place().index
        subject.name = f"{sale}/{index}"
        subject.magic = await sandbox_calls.in_turn(
            request.channel.id, sandbox_calls.magic_of_place, sale=sale, index=index
        )


async def _answer(request: LineRequest, verb: str, act: Act, subject: _Subject) -> HotResponse:
    magic = subject.magic
    if verb == "look" and magic:
        return _shown(await act(request), LOOKS.get(magic.outcome))
    # Without a key there is no purchase that could be refused.
    if magic is None or magic.verb != verb or (verb == "reserve" and not request.http.header(b"idempotency-key")):
        return await act(request)
    is_first = not await sandbox_calls.in_turn(
        request.channel.id, sandbox_calls.had_magic_answer, sale=request.card.sale, subject=subject.name, magic=magic
    )
    magic.refuse_before(is_first=is_first)
    response = await act(request)
    magic.refuse_after(is_first=is_first)
    return response


def _shown(response: HotResponse, state: PlaceState | None) -> HotResponse:
    if state is None or response.status != 200:
        return response
    document = json.loads(response.body) | {"state": state.value, "claim_ends": None}
    return response._replace(body=to_json(document))


def _facts(request: LineRequest, verb: str, response: HotResponse) -> dict[str, Any]:
    if verb == "enter":
        early = wall_clock.now_ms() < request.card.opens_at
        return {"index": json.loads(response.body)["index"], "created": response.status == 201, "early": early}
    return {"reservation": json.loads(response.body)["reservation"]} if verb == "reserve" else {}


async def _note(request: LineRequest, verb: str, subject: _Subject, code: str, facts: dict[str, Any]) -> None:
    await sandbox_calls.in_turn(
        request.channel.id,
        sandbox_calls.note,
        channel=request.channel.id,
        sale=request.card.sale,
        verb=verb,
        code=code,
        subject=subject.name,
        key=request.http.header(b"idempotency-key"),
        magic=subject.magic.name if subject.magic else "",
        facts=facts,
    )
