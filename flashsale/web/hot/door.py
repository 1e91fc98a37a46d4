"""The hot door: enter, look, leave, wait, receipt, reserve, status; raw ASGI before Django, for all who call.

What Django's middleware would do is done here on purpose: our page is known by a SameSite cookie, its Origin and JSON
alone; a partner by its key. Every request is bounded in size, in time and in number: its body has ten seconds, each
call of the gate one, each question to the books two at most.
"""

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import Error

from flashsale.gate import refusal_counts
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import enter, extra_time, index_blocks, leave, look, places, receipt, reserve, status
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AllocationMode
from flashsale.rules.tokens import Place
from flashsale.web import problems
from flashsale.web.hot import partners, proofs
from flashsale.web.hot.http import (
    CODE_FORM,
    Answer,
    Call,
    Disconnected,
    Misused,
    Receive,
    Scope,
    Send,
    answer,
    encode,
    refusal,
    send_answer,
)
from flashsale.web.hot.request import Visit

Given = TypeVar("Given")

log = structlog.get_logger(__name__)

# Beyond this many at once in a process, waiting would only make all of them late.
CALLS_MAX = 4096
# A line that doubles with each block takes a crowd of thousands in a few.
ROOMS_MADE_MAX = 4
COOKIE_S = 30 * 24 * 3600
STATUS_CACHE = b"public, max-age=1"
LINES_SHOWN_MAX = 10_000

_shown: dict[tuple[int, int], tuple[dict[str, Any], bytes, bytes]] = {}
_calls = 0


async def serve(scope: Scope, receive: Receive, send: Send) -> bool:
    """Answers a request to one of the seven verbs; false, with nothing done, for any other path."""
    _, *path = scope["path"].split("/")
    if len(path) != 6 or path[:2] != ["v1", "sales"] or path[3] != "lines" or path[5] not in METHODS:
        return False
    call = Call(scope, receive)
    try:
        given = await _guarded(call, sale=path[2], line=path[4], verb=path[5])
    except Disconnected:
        return True
    await send_answer(send, call, given)
    return True


async def _guarded(call: Call, *, sale: str, line: str, verb: str) -> Answer:
    """The verb's answer within the bounds; whatever goes wrong, as a problem document."""
    global _calls  # noqa: PLW0603 - the bound is the process's
    if _calls >= CALLS_MAX:
        return refusal(call, Outcome.NOT_READY, "Too many requests at once.", 1)
    _calls += 1
    try:
        return await _act(call, sale=sale, line=line, verb=verb)
    except Disconnected:
        raise
    except Refused as refused:
        if refused.outcome is not Outcome.NOT_FOUND:  # who asks for a sale that does not exist may ask for anything
            refusal_counts.count(sale, verb, refused.outcome.value)
        return refusal(call, refused.outcome, refused.detail, refused.retry_after_s)
    except Misused as misused:
        return refusal(call, misused.fault, misused.detail, None, *misused.headers)
    except (GateDown, Error, TimeoutError) as error:
        log.warning("no answer", verb=verb, sale=sale, request_id=call.request_id, error=repr(error))
        return refusal(call, Outcome.UNKNOWN if verb == "reserve" else Outcome.NOT_READY, "", 2)
    except Exception:  # a door never shows a stack
        log.exception("broken", verb=verb, sale=sale, request_id=call.request_id)
        return refusal(call, problems.Fault.INTERNAL)
    finally:
        _calls -= 1


async def _act(call: Call, *, sale: str, line: str, verb: str) -> Answer:
    if call.method not in METHODS[verb]:
        raise Misused(problems.Fault.WRONG_METHOD, "", ((b"allow", ", ".join(METHODS[verb]).encode()),))
    if not CODE_FORM.fullmatch(sale):
        raise Refused(Outcome.NOT_FOUND, "There is no sale with this code.")
    card = await places.card(code=sale)
    found = places.line(card=card, code=line)
    if verb == "status":
        return await _status(call, card, found)
    channel, partner = await _channel(call, card, found)
    return await VERBS[verb](Visit(call, card, found, channel, partner, await call.document()))


async def _channel(call: Call, card: SaleCard, line: LineCard) -> tuple[ChannelCard, bool]:
    """Who is calling, and whether it is a partner; refuses UNAUTHENTICATED, FORBIDDEN."""
    if authorization := call.header(b"authorization"):
        partner = await partners.partner_of_async(authorization)
        known = card.channel_ids.get(partner.channel)
        if known is None or known.code not in line.channels:
            raise Refused(Outcome.FORBIDDEN, "This key's channel does not lead to this line.")
        return known, True
    own = (channel for channel in card.channels if channel.kind == "own page" and channel.code in line.channels)
    page = next(own, None)
    if page is None or not call.header(b"origin"):
        raise Refused(Outcome.UNAUTHENTICATED, partners.DETAIL)
    if not call.same_origin:
        raise Refused(Outcome.FORBIDDEN, "Only this site's own page may call without a key.")
    return page, False


async def _status(call: Call, card: SaleCard, line: LineCard) -> Answer:
    document = await status.status(card=card, line=line)
    known = _shown.get((card.sale, line.line_id))
    if known is None or known[0] is not document:
        known = (document, encode(document), _etag(document))
        if len(_shown) > LINES_SHOWN_MAX:
            _shown.clear()
        _shown[card.sale, line.line_id] = known
    _, body, etag = known
    fresh = etag[2:].decode() in call.header(b"if-none-match")
    return Answer(304 if fresh else 200, b"" if fresh else body, cache=STATUS_CACHE, headers=((b"etag", etag),))


def _etag(document: dict[str, Any]) -> bytes:
    """Weak: it stands for everything but the clock, so a line in which nothing happened is not sent again."""
    content = encode({name: value for name, value in document.items() if name != "now"})
    return b'W/"%s"' % hashlib.sha256(content).hexdigest()[:20].encode()


async def _enter(visit: Visit) -> Answer:
    card, line = visit.card, visit.line
    if visit.partner:
        digests = enter.digests(card=card, values=visit.identity(), channel=visit.channel.id)
    else:
        digests = proofs.proven(card=card, cookies=visit.call.cookies)
    entry = await _place(visit, digests)
    code = 201 if entry.fresh else 200
    if visit.partner:
        return answer(code, {"place": entry.token, "line": line.code, "index": entry.index, "entered": True})
    return answer(code, {"line": line.code, "index": entry.index}, _cookie(visit, entry.token, COOKIE_S))


def _cookie(visit: Visit, token: str, seconds: int) -> tuple[bytes, bytes]:
    secure = "" if settings.FLASHSALE_DEMO else "; Secure"
    cookie = f"{visit.cookie}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", cookie.encode()


async def _place(visit: Visit, digests: dict[Axis, bytes]) -> enter.Entry:
    attempt = partial(
        enter.enter, card=visit.card, line=visit.line, channel=visit.channel, digests=digests, carried=visit.carried(),
        address="" if visit.partner else visit.call.address,
    )  # fmt: skip
    return await _with_room(visit, attempt)


async def _with_room(visit: Visit, attempt: Callable[[], Awaitable[Given]]) -> Given:
    """What a call comes to that gives an index; a crowd may have used up those that the books know of."""
    for _again in range(ROOMS_MADE_MAX):
        try:
            return await attempt()
        except Refused as refused:
            if refused.outcome is not Outcome.NO_ROOM:
                raise
        # The tending has not come by yet.
        await index_blocks.make_room(card=visit.card, line=visit.line)
    return await attempt()


async def _look(visit: Visit) -> Answer:
    view = await look.look(card=visit.card, line=visit.line, place=visit.place())
    return answer(
        200,
        {
            "line": visit.line.code, "index": view.index, "number": view.number, "state": view.state, "now": view.now,
            "claim_ends": view.claim_ends, "called": view.called, "cohort": view.cohort,
        },
    )  # fmt: skip


async def _leave(visit: Visit) -> Answer:
    await leave.leave(card=visit.card, line=visit.line, place=visit.place())
    # A browser that keeps the place is led to its line, and could enter no other.
    return answer(200, {"left": True}, *([] if visit.partner else [_cookie(visit, "", 0)]))


async def _wait(visit: Visit) -> Answer:
    await extra_time.wait(card=visit.card, line=visit.line, place=visit.place())
    return answer(200, {"granted": True})


async def _receipt(visit: Visit) -> Answer:
    return answer(200, receipt.receipt(card=visit.card, line=visit.line, place=visit.place()))


def _buyer(visit: Visit) -> Place:
    """Whoever reserves: a place in the line, or a person by a partner's word where there is none."""
    if visit.line.mode != AllocationMode.DIRECT:
        return visit.place()
    known = enter.digests(card=visit.card, values=visit.identity(), channel=visit.channel.id)
    return reserve.direct_place(card=visit.card, line=visit.line, digests=known)


async def _reserve(visit: Visit) -> Answer:
    key = visit.call.header(b"idempotency-key")
    if not key:
        raise Refused(Outcome.KEY_MISSING)
    attempt = partial(
        reserve.reserve, card=visit.card, line=visit.line, channel=visit.channel, place=_buyer(visit),
        items=visit.items(), key=key, key_owner=f"channel:{visit.channel.id}" if visit.partner else "place",
    )  # fmt: skip
    made = await (_with_room(visit, attempt) if visit.line.mode == AllocationMode.DIRECT else attempt())
    document = {
        "reservation": str(made.id), "deadline": made.deadline_ms, "amount": made.amount,
        "currency": visit.card.currency,
        "items": [{"sku": unit.sku, "price": unit.price} for unit in made.units],
    }  # fmt: skip
    replayed = ((b"idempotency-replayed", b"true"),) if made.replayed else ()
    return answer(201, document, *replayed)


VERBS: dict[str, Callable[[Visit], Awaitable[Answer]]] = {
    "enter": _enter,
    "look": _look,
    "leave": _leave,
    "wait": _wait,
    "receipt": _receipt,
    "reserve": _reserve,
}
METHODS = {"status": ("GET", "HEAD"), **dict.fromkeys(VERBS, ("POST",))}
