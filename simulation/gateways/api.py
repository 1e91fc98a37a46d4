"""The HTTP side of a simulated gateway: reads a call, checks who asks and how often, and applies the faults."""

import asyncio
import base64
import binascii
import hmac
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from simulation.gateways.faults import Fault, Operation, Rule
from simulation.gateways.gateway import Gateway
from simulation.gateways.ledger import Full
from simulation.gateways.payments import Answer, Call, Pay, Route
from simulation.gateways.webhooks import numbers_as_strings

BODY_MAX = 64 * 1024
HUGE_BYTES = 5 * 1024 * 1024
# `SO_LINGER` on, with 0 s: closing the socket resets the connection.
RESET = struct.pack("ii", 1, 0)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Malformed(ValueError):
    """A body that is no JSON object."""


class Api:
    """The endpoints of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def app(self) -> web.Application:
        """The application that serves them."""
        app = web.Application(client_max_size=BODY_MAX)
        for route in self._gateway.routes():
            app.router.add_route(route.verb, route.path, self._handler(route))
        app.router.add_route("*", "/{rest:.*}", self._no_route)
        return app

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            gateway = self._gateway
            gateway.agenda.fire()
            gateway.calls[route.operation] += 1
            body: dict[str, Any] | Answer = await self._read(request, route)
            call = Call(
                request.match_info.get("id", ""),
                body if isinstance(body, dict) else {},
                {name.lower(): value for name, value in request.headers.items()},
                request.query,
                f"http://{request.host}",
            )
            allowed, left, reset_s = gateway.admit(gateway.pace_bucket(call, route))
            if not allowed:
                answer = gateway.error("rate", route=route)
            elif not route.public and not self._known(request):
                answer = gateway.error("unauthorized", route=route)
            elif isinstance(body, Answer):
                answer = body
            else:
                return await self._work(request, call, route, gateway.pace_headers(left, reset_s))
            return _respond(answer, gateway.pace_headers(left, reset_s))

        return handle

    async def _no_route(self, _: web.Request) -> web.StreamResponse:
        return _respond(self._gateway.error("no_route"), {})

    async def _read(self, request: web.Request, route: Route) -> dict[str, Any] | Answer:
        """The body; the answer to the call if it cannot be read."""
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._gateway.error("too_large", route=route)
        if not raw:
            return {}
        try:
            if request.content_type != "application/json":
                raise Malformed(request.content_type)
            found = json.loads(raw, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return self._gateway.error("malformed", route=route)
        return found if isinstance(found, dict) else self._gateway.error("malformed", route=route)

    def _known(self, request: web.Request) -> bool:
        """Whether the call carries the key as user and an empty password."""
        scheme, _, told = request.headers.get("Authorization", "").partition(" ")
        try:
            who = base64.b64decode(told, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(who, f"{self._gateway.settings['key']}:".encode())

    async def _work(
        self, request: web.Request, call: Call, route: Route, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        gateway = self._gateway
        reference = gateway.reference_of(call, route)
        strike = partial(gateway.faults.strike, reference=reference, operation=route.operation)
        if rule := strike(Fault.UNAVAILABLE):
            return _respond(gateway.error("unavailable", route=route, rule=rule), headers)
        if rule := strike(Fault.RATE_LIMIT):
            return _respond(gateway.error("rate", route=route, rule=rule), headers)
        answer = gateway.before(call, route)
        if answer is None:
            answer = self._do(call, route, strike)
            if strike(Fault.WEBHOOK_EARLY):
                await self._tell_early(reference, route)
        if rule := strike(Fault.SLOW):
            await asyncio.sleep(rule.seconds)
        if rule := strike(Fault.ERROR):
            answer = gateway.error("broken", route=route, rule=rule)
        gateway.after(call, route, answer)
        return await _lose(request, answer, headers, strike)

    def _do(self, call: Call, route: Route, strike: Callable[[Fault], Rule | None]) -> Answer:
        """The work of a call, and the buyer who pays at the very moment of a closing."""
        gateway = self._gateway
        payment = gateway.find(call.id) if route.operation is Operation.CLOSE else None
        if payment is not None and gateway.is_open(payment) and strike(Fault.PAID_BEFORE_CLOSE):
            gateway.take(payment, Pay())
        try:
            answer = route.handle(call)
        except Full:
            return gateway.error("full", route=route)
        if payment is not None and not gateway.is_open(payment) and strike(Fault.PAID_AFTER_CLOSE):
            gateway.take(payment, Pay(force=True))
        return answer

    async def _tell_early(self, reference: str, route: Route) -> None:
        """What follows a call happens at once, and its webhooks are delivered before the answer leaves."""
        gateway = self._gateway
        for payment in gateway.by_reference.get(reference, [])[-1:]:
            if route.operation is Operation.BEGIN and gateway.is_open(payment):
                gateway.take(payment, Pay())
            if route.operation is Operation.REFUND:
                gateway.confirm_refunds(payment)
        await gateway.post.delivered()


def _no_constant(name: str) -> Any:
    raise Malformed(name)


async def _lose(
    request: web.Request, answer: Answer, headers: Mapping[str, str], strike: Callable[[Fault], Rule | None]
) -> web.StreamResponse:
    """Sends the answer, with what goes wrong on the way."""
    if strike(Fault.DROP):
        return _drop(request)
    if strike(Fault.STRINGS):
        answer = answer._replace(body=numbers_as_strings(answer.body))
    if strike(Fault.HUGE) and isinstance(answer.body, dict):
        answer = answer._replace(body={**answer.body, "padding": "x" * HUGE_BYTES})
    if strike(Fault.RESET):
        return await _reset_in_body(request, answer, headers)
    return _respond(answer, headers)


def _respond(answer: Answer, headers: Mapping[str, str]) -> web.Response:
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, text=answer.body, headers={**headers, **answer.headers})
    return web.json_response(answer.body, status=answer.status, headers={**headers, **answer.headers})


def _cut(request: web.Request) -> None:
    """Resets the connection."""
    if request.transport is not None:
        plug = request.transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        request.transport.abort()


def _drop(request: web.Request) -> web.Response:
    """Ends the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _reset_in_body(request: web.Request, answer: Answer, headers: Mapping[str, str]) -> web.StreamResponse:
    body = json.dumps(answer.body).encode()
    response = web.StreamResponse(status=answer.status, headers={**headers, **answer.headers})
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(0.02)  # lets the half leave this machine's buffer
    _cut(request)
    return response
