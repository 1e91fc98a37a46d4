"""The hot door of paying: `POST /v1/reservations/{id}/confirm` of partners, as raw ASGI before Django.

The REST view of the same path has the same answers, for servers without this door.
"""

import time
from collections import Counter
from contextlib import suppress
from uuid import UUID

import structlog
from django.db import Error
from django.utils.translation import override
from rest_framework.exceptions import ValidationError

from flashsale import metrics
from flashsale.gate.client import GateDown
from flashsale.life.payment_request import CallKey
from flashsale.rules.key_rights import KeyScope
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import QuotaClass
from flashsale.web import problems
from flashsale.web.api.confirm_once import confirm_once
from flashsale.web.api.exceptions import validation_problem
from flashsale.web.api.sandbox_confirm import confirm_in_sandbox
from flashsale.web.api.serializers import ConfirmSerializer
from flashsale.web.hot import partners, usage
from flashsale.web.hot.http import (
    SIGNATURE_HEADER,
    ClientDisconnected,
    HotRequest,
    HotResponse,
    HttpFault,
    Receive,
    Scope,
    Send,
    fault_response,
    problem_response,
    send_response,
)
from flashsale.web.idempotency import RefusedBefore, fingerprint, valid_key
from flashsale.web.signatures import check_request, must_check

log = structlog.get_logger(__name__)
# Requests at once in a process. With more, each of them would only be late.
REQUESTS_MAX = 1024
# Of these, one partner may have so many, so that the orders of the others always get in.
PARTNER_REQUESTS_MAX = REQUESTS_MAX // 2
TOO_MANY = "Too many requests at once."
REPLAYED = (b"idempotency-replayed", b"true")
_running = 0
_by_channel: Counter[int] = Counter()
# One for all requests, because it costs more to make a serializer than to use it. It keeps nothing of a request.
_form = ConfirmSerializer()


async def serve(scope: Scope, receive: Receive, send: Send) -> bool:
    """Answers a confirmation. Returns False and does nothing for any other path or method."""
    _, *path = scope["path"].split("/")
    if len(path) != 4 or path[:2] != ["v1", "reservations"] or path[3] != "confirm" or scope["method"] != "POST":
        return False
    began = time.perf_counter()
    request = HotRequest(scope, receive)
    try:
        response = await _respond(request, path[2], scope["path"])
    except ClientDisconnected:
        return True
    metrics.count_request(sale="", verb="confirm", outcome=request.outcome, seconds=time.perf_counter() - began)
    await send_response(send, request, response)
    return True


async def _respond(  # noqa: PLR0911 - one for each kind of error
    request: HotRequest, reservation: str, path: str
) -> HotResponse:
    """Confirms, with a limit on requests at once. Turns every error into a problem document."""
    global _running  # noqa: PLW0603 - the limit is for the whole process
    if _running >= REQUESTS_MAX:
        return problem_response(request, Outcome.TOO_MANY_REQUESTS, TOO_MANY, 1)
    _running += 1
    try:
        return await _confirm(request, reservation, path)
    except ClientDisconnected:
        raise
    except RefusedBefore as before:
        return problem_response(request, before.outcome, before.detail, None, REPLAYED)
    except Refused as refused:
        # NOT_READY: this door cannot check keys. Another one may, and the hold may end meanwhile.
        again = request.to_another_door if refused.outcome is Outcome.NOT_READY else ()
        return problem_response(request, refused.outcome, refused.detail, refused.retry_after_s, *again)
    except HttpFault as error:
        return fault_response(request, error)
    except (GateDown, Error, TimeoutError) as error:
        log.warning("Redis or PostgreSQL did not answer", path=path, request_id=request.request_id, error=repr(error))
        return problem_response(request, Outcome.UNKNOWN, "", 2, *request.to_another_door)
    except Exception:  # a caller must never see a stack trace
        log.exception("request failed", path=path, request_id=request.request_id)
        return problem_response(request, problems.Fault.INTERNAL)
    finally:
        _running -= 1


async def _confirm(request: HotRequest, reservation: str, path: str) -> HotResponse:
    if not request.is_for_us:
        raise Refused(Outcome.MALFORMED, "The Host header names no site of this server.")
    if not request.accepts_json:
        raise HttpFault(problems.Fault.NOT_ACCEPTABLE)
    partner = await partners.partner_of_async(request.header(b"authorization"))
    partner.allow(KeyScope.PAY, request.client_ip)
    if _by_channel[partner.channel] >= PARTNER_REQUESTS_MAX:
        raise Refused(Outcome.TOO_MANY_REQUESTS, TOO_MANY, 1)
    _by_channel[partner.channel] += 1
    try:
        return await _confirm_for(partner, request, reservation, path)
    finally:
        _by_channel[partner.channel] -= 1


async def _confirm_for(partner: partners.Partner, request: HotRequest, reservation: str, path: str) -> HotResponse:
    usage.take(request, partner, QuotaClass.PAY)
    request.refuse_query()
    body = await request.json()
    if must_check(partner, signature=request.header(SIGNATURE_HEADER), writes=True):
        await check_request(partner, request.signed, came=request.came)
    try:
        with override("en"):  # as the REST view does: texts for developers have one language
            values = dict(_form.run_validation(body))
    except ValidationError as error:
        code, detail, errors = validation_problem(error)
        return problem_response(request, code, detail, errors=errors)
    key = valid_key(request.header(b"idempotency-key"))
    call = CallKey(partner.channel, key, fingerprint(["POST", path, body]))
    confirm = confirm_in_sandbox if partner.sandbox else confirm_once
    answer = await confirm(reservation=_uuid(reservation), call=call, values=values)
    request.outcome = "ok" if answer.status < 400 else "refused"
    headers = tuple((name.lower().encode(), value.encode()) for name, value in answer.headers.items())
    return HotResponse(answer.status, answer.text.encode(), headers=headers)


def _uuid(text: str) -> UUID:
    """The id in the path, in the one spelling that the REST view takes, because keys belong to paths."""
    with suppress(ValueError):
        if str(found := UUID(text)) == text:
            return found
    raise Refused(Outcome.NOT_FOUND, "There is no reservation with this id.")
