"""The hot door: enter, look, leave, wait, receipt, reserve, bundles and status, as raw ASGI before Django.

Both our own page and partners call it. Django's middleware does not run here, so this module does its work: it accepts
our page by a SameSite cookie, the Origin header and a JSON body, and a partner by its key. Each request has limits: the
size of the body, the number of requests at once in a process, 10 s to send the body, the number of bodies that one
client sends slowly, 1 s for each call of Redis (the gate) and 2 s for each query of PostgreSQL (the books).
"""

import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import Error

from flashsale import metrics
from flashsale.gate import due_sales, refusal_counts, sale_cards
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import enter, entries, extra_time, index_blocks, leave, look, places, receipt, reserve, status
from flashsale.rules import wall_clock
from flashsale.rules.clock import time_of_day
from flashsale.rules.identity import Axis
from flashsale.rules.key_rights import KeyScope
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import QuotaClass
from flashsale.rules.states import AllocationMode
from flashsale.rules.tokens import Place
from flashsale.web import problems
from flashsale.web.api.hot_serializers import FIELDS, PAGE_FIELDS
from flashsale.web.hot import bundle, partners, proofs, sandbox, usage
from flashsale.web.hot.http import (
    BODY_BYTES_MAX,
    CODE_PATTERN,
    SIGNATURE_HEADER,
    ClientDisconnected,
    Header,
    HotRequest,
    HotResponse,
    HttpFault,
    Receive,
    Scope,
    Send,
    fault_response,
    json_response,
    problem_response,
    send_response,
    to_json,
)
from flashsale.web.hot.request import LineRequest
from flashsale.web.signatures import check_request, must_check

T = TypeVar("T")

log = structlog.get_logger(__name__)

# Requests at once in a process. With more, each of them would only be late.
REQUESTS_MAX = 4096
# Each block of indexes doubles the size of a line, so a few blocks are enough for thousands of people.
BLOCKS_ADDED_MAX = 8
COOKIE_S = 30 * 24 * 3600
# Shared caches keep it for a second. A browser asks again, because a page that polls twice a second must not read its
# own old copy.
STATUS_CACHE = b"public, max-age=0, s-maxage=1"
# Pages of any site may read the public status, without cookies. Only the status has these headers.
CROSS_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"date, retry-after"),
)
STATUS_CACHED_MAX = 10_000
RESERVE_BY_PLACE = FIELDS["reserve"] - {"identity"}
RESERVE_BY_IDENTITY = FIELDS["reserve"] - {"place"}

# By sale and line: the status document, its JSON, its ETag.
_status_cache: dict[tuple[int, int], tuple[dict[str, Any], bytes, bytes]] = {}
_running = 0


async def serve(scope: Scope, receive: Receive, send: Send) -> bool:
    """Answers a request to one of the verbs of a line. Returns False and does nothing for any other path."""
    _, *path = scope["path"].split("/")
    if len(path) != 6 or path[:2] != ["v1", "sales"] or path[3] != "lines" or path[5] not in METHODS:
        return False
    began = time.perf_counter()
    request = HotRequest(scope, receive)
    try:
        response = await _respond(request, sale=path[2], line=path[4], verb=path[5])
    except ClientDisconnected:
        return True
    seconds = time.perf_counter() - began
    metrics.count_request(sale=request.sale, verb=path[5], outcome=request.outcome, seconds=seconds)
    if path[5] == "status" and request.method in METHODS["status"]:
        response = response._replace(headers=(*response.headers, *CROSS_ORIGIN))
    await send_response(send, request, response)
    return True


async def _respond(request: HotRequest, *, sale: str, line: str, verb: str) -> HotResponse:
    """Runs the verb, with a limit on requests at once. Turns every error into a problem document."""
    global _running  # noqa: PLW0603 - the limit is for the whole process
    if _running >= REQUESTS_MAX:
        return problem_response(request, Outcome.NOT_READY, "Too many requests at once.", 1)
    _running += 1
    try:
        return await _dispatch(request, sale=sale, line=line, verb=verb)
    except ClientDisconnected:
        raise
    except Refused as refused:
        if refused.outcome is Outcome.NOT_READY and sale_cards.is_known(sale):
            await _ask_for_a_look(sale)
        # Not counted for an unknown sale, because a caller can invent any number of sale codes.
        if refused.outcome is not Outcome.NOT_FOUND and sale_cards.is_known(sale):
            refusal_counts.count(sale, verb, refused.outcome.value)
        # PostgreSQL did not answer this door. The units are held, so another door commits them.
        again = _to_another_door(request, verb) if refused.outcome is Outcome.UNKNOWN else ()
        return problem_response(
            request, refused.outcome, refused.detail, refused.retry_after_s, *again, reservation=refused.reservation
        )
    except HttpFault as error:
        return fault_response(request, error)
    except (GateDown, Error, TimeoutError) as error:
        log.warning(
            "Redis or PostgreSQL did not answer", verb=verb, sale=sale, request_id=request.request_id, error=repr(error)
        )
        code = Outcome.UNKNOWN if verb == "reserve" else Outcome.NOT_READY
        return problem_response(request, code, "", 2, *_to_another_door(request, verb))
    except Exception:  # a caller must never see a stack trace
        log.exception("request failed", verb=verb, sale=sale, request_id=request.request_id)
        return problem_response(request, problems.Fault.INTERNAL)
    finally:
        _running -= 1


def _to_another_door(request: HotRequest, verb: str) -> tuple[Header, ...]:
    """The header by which our nginx asks another door.

    The host of this door may be cut off from Redis or PostgreSQL, and the time to claim goes on meanwhile. Other verbs
    can wait for the client's next try. If all were asked twice, a Redis that is late would have twice the work.
    """
    return request.to_another_door if verb == "reserve" else ()


async def _ask_for_a_look(sale: str) -> None:
    """Makes the next tick look at the sale, because Redis may have lost it."""
    with suppress(GateDown):
        await due_sales.look_soon(sale, at_once=True)


async def _dispatch(request: HotRequest, *, sale: str, line: str, verb: str) -> HotResponse:
    if not request.is_for_us:
        raise Refused(Outcome.MALFORMED, "The Host header names no site of this server.")
    if request.method not in METHODS[verb]:
        raise HttpFault(problems.Fault.WRONG_METHOD, "", ((b"allow", ", ".join(METHODS[verb]).encode()),))
    if not request.accepts_json:
        raise HttpFault(problems.Fault.NOT_ACCEPTABLE)
    if not CODE_PATTERN.fullmatch(sale):
        raise Refused(Outcome.NOT_FOUND, "There is no sale with this code.")
    request.refuse_query()
    card = await places.sale_card(code=sale)
    request.sale = "" if card.test else card.code
    found = places.line(card=card, code=line)
    if verb == "status":
        return await _status(request, card, found)
    channel, partner = await _authenticate(request, card, found)
    used = None
    if partner:
        partner.allow(SCOPES[verb], request.client_ip)
        used = usage.count(request, partner, QUOTAS[verb])
        if verb not in BUNDLES:  # a bundle above the quota gets an answer for each person
            used.refuse_if_exceeded()
    body = await request.json(most=BODY_BYTES.get(verb, BODY_BYTES_MAX))
    if partner and must_check(partner, signature=request.header(SIGNATURE_HEADER), writes=True):
        takes_nonce = used is None or not used.exceeded
        await check_request(partner, request.signed, takes_nonce=takes_nonce, came=request.came)
    line_request = LineRequest(request, card, found, channel, partner, body, used)
    line_request.refuse_unknown_fields((FIELDS if partner else PAGE_FIELDS)[verb])
    act = VERBS[verb]
    response = await (sandbox.answer(line_request, verb, act) if card.is_sandbox else act(line_request))
    if verb in CHANGING:
        # After the change, so that the tick finds it: PostgreSQL keeps a copy of the crowd.
        with suppress(GateDown):
            await due_sales.look_soon(card.code)
    return response


async def _authenticate(
    request: HotRequest, card: SaleCard, line: LineCard
) -> tuple[ChannelCard, partners.Partner | None]:
    """The caller's channel, and the partner, None for our own page.

    Refuses UNAUTHENTICATED, KEY_EXPIRED, FORBIDDEN, NOT_FOUND.
    """
    if authorization := request.header(b"authorization"):
        partner = await partners.partner_of_async(authorization)
        return partner.channel_in(card, line), partner
    pages = (channel for channel in card.channels if channel.kind == "own page" and channel.code in line.channels)
    own_page = next(pages, None)
    if own_page is None or not request.header(b"origin"):
        raise Refused(Outcome.UNAUTHENTICATED, partners.KEY_REQUIRED)
    if not request.is_same_origin:
        raise Refused(Outcome.FORBIDDEN, "Only this site's own page may call without a key.")
    return own_page, None


async def _status(request: HotRequest, card: SaleCard, line: LineCard) -> HotResponse:
    if card.is_sandbox:
        await sandbox.note_status(card, line)
    document = await status.status(card=card, line=line)
    cached = _status_cache.get((card.sale, line.line_id))
    if cached is None or cached[0] is not document:
        cached = (document, to_json(document), _etag(document))
        if len(_status_cache) > STATUS_CACHED_MAX:
            _status_cache.clear()
        _status_cache[card.sale, line.line_id] = cached
    _, body, etag = cached
    unchanged = etag[2:].decode() in request.header(b"if-none-match")
    # nginx counts in whole seconds, so "one second" may be two there. This lets it keep the document until its clock
    # shows the next second. It does not pass the header on. So the time is that of nginx, where nginx has told it.
    until = (b"x-accel-expires", b"@%d" % (request.sent_s or wall_clock.now_s()))
    return HotResponse(
        304 if unchanged else 200, b"" if unchanged else body, cache=STATUS_CACHE, headers=((b"etag", etag), until)
    )


def _etag(document: dict[str, Any]) -> bytes:
    """A weak ETag over everything but the clock, so that an unchanged line answers 304."""
    content = to_json({name: value for name, value in document.items() if name != "now"})
    return b'W/"%s"' % hashlib.sha256(content).hexdigest()[:20].encode()


async def _enter(request: LineRequest) -> HotResponse:
    if request.is_partner:
        return json_response(*await _enter_for_partner(request))
    digests = proofs.proven_digests(card=request.card, cookies=request.http.cookies)
    entry = await _enter_line(request, digests)
    cookie = _place_cookie(request, entry.token, COOKIE_S)
    return json_response(201 if entry.created else 200, {"line": request.line.code, "index": entry.index}, cookie)


async def _enter_for_partner(request: LineRequest) -> tuple[int, dict[str, Any]]:
    """Status and document for a person whom a partner sends."""
    digests = enter.digest_identity(card=request.card, values=request.identity(), channel=request.channel.id)
    entry = await _enter_line(request, digests)
    document = {"place": entry.token, "line": request.line.code, "index": entry.index, "entered": True}
    return 201 if entry.created else 200, document


def _place_cookie(request: LineRequest, token: str, max_age_s: int) -> tuple[bytes, bytes]:
    secure = "" if settings.FLASHSALE_DEMO else "; Secure"
    cookie = f"{request.cookie_name}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", cookie.encode()


async def _enter_line(request: LineRequest, digests: dict[Axis, bytes]) -> enter.Entry:
    attempt = partial(
        enter.enter,
        card=request.card,
        line=request.line,
        channel=request.channel,
        digests=digests,
        carried=request.carried_token(),
        address="" if request.is_partner else request.http.address,
    )
    return await _with_index_blocks(request, attempt)


async def _with_index_blocks(request: LineRequest, attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of `attempt`, which takes an index of the line. Adds blocks of indexes while NO_ROOM comes back.

    A crowd can use all indexes that PostgreSQL has committed before the next tick adds a block.
    """
    for _ in range(BLOCKS_ADDED_MAX):
        try:
            return await attempt()
        except Refused as refused:
            if refused.outcome is not Outcome.NO_ROOM:
                raise
        await index_blocks.extend_block_now(card=request.card, line=request.line)
    return await attempt()


async def _look(request: LineRequest) -> HotResponse:
    return json_response(*await _look_at_place(request))


async def _look_at_place(request: LineRequest) -> tuple[int, dict[str, Any]]:
    """Status and document of a place."""
    view = await look.look(card=request.card, line=request.line, place=request.place())
    document = {
        "line": request.line.code,
        "index": view.index,
        "number": view.number,
        "state": view.state,
        "now": view.now,
        "now_at": time_of_day(wall_clock.now_ms()),
        "claim_ends": view.claim_ends,
        "called": view.called,
        "cohort": view.cohort,
    }
    return 200, document


async def _leave(request: LineRequest) -> HotResponse:
    await leave.leave(card=request.card, line=request.line, place=request.place())
    # Deletes the cookie, because our page leads a browser with a place to that place's line and to no other.
    return json_response(200, {"left": True}, *([] if request.is_partner else [_place_cookie(request, "", 0)]))


async def _wait(request: LineRequest) -> HotResponse:
    await extra_time.extra_time(card=request.card, line=request.line, place=request.place())
    return json_response(200, {"granted": True})


async def _receipt(request: LineRequest) -> HotResponse:
    card, line, place = request.card, request.line, request.place()
    inclusion = await entries.inclusion_of(card=card, line=line, index=place.index)
    return json_response(200, receipt.receipt(card=card, line=line, place=place, inclusion=inclusion))


def _buying_place(request: LineRequest) -> Place:
    """The place that reserves. A direct allocation has no line, so there it is made from the partner's identity."""
    if request.line.mode != AllocationMode.DIRECT:
        request.refuse_unknown_fields(RESERVE_BY_PLACE)
        return request.place()
    request.refuse_unknown_fields(RESERVE_BY_IDENTITY)
    digests = enter.digest_identity(card=request.card, values=request.identity(), channel=request.channel.id)
    return reserve.direct_place(card=request.card, line=request.line, digests=digests)


async def _reserve(request: LineRequest) -> HotResponse:
    key = request.http.header(b"idempotency-key")
    if not key:
        raise Refused(Outcome.KEY_MISSING)
    attempt = partial(
        reserve.reserve,
        card=request.card,
        line=request.line,
        channel=request.channel,
        place=_buying_place(request),
        items=request.items(),
        key=key,
        key_owner=f"channel:{request.channel.id}" if request.is_partner else "place",
        attached=request.attached(),
        waited_s=request.http.waited_s,
    )
    made = await (_with_index_blocks(request, attempt) if request.line.mode == AllocationMode.DIRECT else attempt())
    document = {
        "reservation": str(made.id),
        "deadline": made.deadline_ms,
        "amount": made.amount,
        "currency": request.card.currency,
        "items": [{"sku": unit.sku, "price": unit.price} for unit in made.units],
        "made": made.made_ms,
        "partner_reference": made.attached.reference,
        "metadata": made.attached.metadata or {},
    }
    replayed = ((b"idempotency-replayed", b"true"),) if made.replayed else ()
    return json_response(201, document, *replayed)


async def _bundle(request: LineRequest, verb: bundle.Verb, name: str) -> HotResponse:
    """Answers each person of a partner's bundle as `verb` does. Each counts as a request, the first one already."""
    global _running  # noqa: PLW0603 - as in _respond
    partner, used = request.partner, request.used
    if not partner or not used:
        raise Refused(Outcome.UNAUTHENTICATED, partners.KEY_REQUIRED)
    first = [used]

    async def counted(item: LineRequest) -> tuple[int, dict[str, Any]]:
        used.refuse_if_exceeded()  # then the bundle has taken no nonce, so all are refused
        (first.pop() if first else usage.count(request.http, partner, QUOTAS[name])).refuse_if_exceeded()
        return await verb(item)

    items = bundle.items_of(request)
    if _running + len(items) > REQUESTS_MAX:
        raise Refused(Outcome.NOT_READY, "Too many requests at once.", 1)
    _running += len(items)
    try:
        return await bundle.answer(request, items, counted, name=name)
    finally:
        _running -= len(items)


async def _enter_bundle(request: LineRequest) -> HotResponse:
    return await _bundle(request, _enter_for_partner, "enter")


async def _look_bundle(request: LineRequest) -> HotResponse:
    return await _bundle(request, _look_at_place, "look")


VERBS: dict[str, Callable[[LineRequest], Awaitable[HotResponse]]] = {
    "enter": _enter,
    "look": _look,
    "leave": _leave,
    "wait": _wait,
    "receipt": _receipt,
    "reserve": _reserve,
    "enter-bundle": _enter_bundle,
    "look-bundle": _look_bundle,
}
BODY_BYTES = {"enter-bundle": bundle.BYTES_MAX, "look-bundle": bundle.BYTES_MAX}
BUNDLES = frozenset(BODY_BYTES)
# What a partner's key needs for each verb, and what its calls count as.
SCOPES = {**dict.fromkeys(VERBS, KeyScope.ENTER), "reserve": KeyScope.RESERVE}
QUOTAS = {
    "enter": QuotaClass.ENTER,
    "look": QuotaClass.LOOK,
    "leave": QuotaClass.ENTER,
    "wait": QuotaClass.ENTER,
    "receipt": QuotaClass.LOOK,
    "reserve": QuotaClass.RESERVE,
    "enter-bundle": QuotaClass.ENTER,
    "look-bundle": QuotaClass.LOOK,
}
# The verbs that change the crowd of a line.
CHANGING = {"enter", "look", "leave", "wait", "reserve", "enter-bundle", "look-bundle"}
METHODS = {"status": ("GET", "HEAD"), **dict.fromkeys(VERBS, ("POST",))}
