"""The control port of a simulated gateway: JSON over HTTP. simulation/gateways/client.py is its client."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiohttp import web

from simulation.gateways.faults import Fault, Operation, Rule
from simulation.gateways.gateway import Gateway
from simulation.gateways.ledger import Full
from simulation.gateways.payments import Pay, Payment, Refused
from simulation.gateways.webhooks import Webhook

MOVE_MAX = timedelta(days=800)
RULE_FIELDS = {field.name for field in fields(Rule)} - {"hits", "seen"}
SIGNED = ("altered", "resigned", "no")


class Control:
    """The controls of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def app(self) -> web.Application:
        """The application that serves them."""
        app = web.Application()
        routes: list[tuple[str, str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]]] = [
            ("GET", "/clock", self._now),
            ("POST", "/clock", self._clock),
            ("GET", "/codes", self._codes),
            ("POST", "/buyer", self._buyer),
            ("GET", "/faults", self._faults),
            ("POST", "/faults", self._add_fault),
            ("DELETE", "/faults", self._clear_faults),
            ("GET", "/webhooks", self._webhooks),
            ("POST", "/webhooks", self._webhook),
            ("GET", "/ledger", self._ledger),
            ("GET", "/settlement", self._settlement),
            ("GET", "/calls", self._calls),
            ("POST", "/settings", self._settings),
            ("POST", "/reset", self._reset),
        ]
        for verb, path, handle in routes:
            app.router.add_route(verb, path, _answers(handle))
        return app

    async def _now(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"now": self._gateway.clock.now().isoformat(), "frozen": self._gateway.clock.frozen}

    async def _clock(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        gateway, clock = self._gateway, self._gateway.clock
        if "freeze" in asked:
            at = _time(asked["freeze"]) if asked["freeze"] else clock.now()
            clock.freeze()
            await self._move(at)
        if "advance" in asked:
            by = timedelta(seconds=float(asked["advance"]))
            if not timedelta(0) <= by <= MOVE_MAX:
                raise ValueError(f"`advance` is {by}; it must be between 0 and {MOVE_MAX.days} days.")
            await self._move(clock.now() + by)
        if "offset" in asked:
            clock.be_wrong(timedelta(seconds=float(asked["offset"])))
        if asked.get("run"):
            clock.run()
        gateway.agenda.clock_changed()
        return await self._now(asked)

    async def _move(self, to: datetime) -> None:
        await self._gateway.agenda.move(to, self._gateway.post.delivered)

    async def _codes(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        gateway, reference = self._gateway, asked["reference"]
        payments = gateway.by_reference.get(reference, []) if reference else gateway.payments.values()
        rows = [
            {"kind": code.kind, "value": code.value, "payment": payment.id, "state": payment.state}
            for payment in payments
            for code in payment.codes
        ]
        return {"codes": rows}

    async def _buyer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        gateway = self._gateway
        actions: dict[str, Callable[[Pay], Payment]] = {
            "pay": gateway.paid_by,
            "pick": gateway.payment_of,
            "decline": gateway.declined_by,
            "reverse": gateway.reversed_by,
        }
        pay = Pay(**{name: value for name, value in asked.items() if name != "action"})
        if pay.amount is not None and (not isinstance(pay.amount, int) or pay.amount <= 0):
            raise ValueError(f"`amount` is {pay.amount!r}; it must be a whole number above 0.")
        try:
            payment = actions[asked["action"]](pay)
        except Refused as error:
            known = gateway.by_code.get(pay.code)
            state = known.state if known else ""
            return {"accepted": False, "why": str(error), "payment": known.id if known else "", "state": state}
        return {"accepted": True, "why": "", "payment": payment.id, "state": payment.state}

    async def _faults(self, _: Mapping[str, Any]) -> dict[str, Any]:
        rules = self._gateway.faults.rules
        return {"faults": [{name: getattr(rule, name) for name in (*sorted(RULE_FIELDS), "hits")} for rule in rules]}

    async def _add_fault(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if unknown := set(asked) - RULE_FIELDS:
            raise ValueError(f"A fault has no {', '.join(sorted(unknown))}.")
        rule = Rule(**{**asked, "kind": Fault(asked["kind"])})
        if rule.on:
            Operation(rule.on)
        self._gateway.faults.add(rule)
        return {}

    async def _clear_faults(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self._gateway.faults.rules.clear()
        return {}

    async def _webhooks(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        kept = [hook for hook in self._gateway.post.kept if asked["reference"] in {"", hook.reference}]
        return {"webhooks": [hook.json() for hook in kept]}

    async def _webhook(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        post = self._gateway.post
        sent: Webhook | None = None
        if asked["action"] == "replay":
            old = post.find(asked["number"])
            sent = post.dispatch(old.reference, old.event, old.url, old.body, old.headers)
        elif asked["action"] == "forge":
            payments = self._gateway.by_reference.get(asked["reference"])
            if not payments:
                raise ValueError(f"There is no payment of the reference {asked['reference']!r}.")
            if asked["signed"] not in SIGNED:
                raise ValueError(f"`signed` is {asked['signed']!r}; it must be one of {', '.join(SIGNED)}.")
            sent = self._gateway.forge(payments[-1], asked["fields"], asked["signed"])
        elif asked["action"] != "delivered":
            raise ValueError(f"`action` is {asked['action']!r}; it must be replay, forge or delivered.")
        await post.delivered()
        return sent.json() if sent else {}

    async def _ledger(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        ledger = self._gateway.ledger
        if "reference" not in asked:
            return {"references": ledger.sums()}
        entries = ledger.of(asked["reference"]) if asked["reference"] else ledger.entries
        return {"entries": [entry.json() for entry in entries]}

    async def _settlement(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        day = date.fromisoformat(asked["day"])
        text, wrong = self._gateway.ledger.settlement(day, wrong=asked.get("wrong") == "1")
        return {"csv": text, "wrong": wrong}

    async def _calls(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"calls": dict(self._gateway.calls)}

    async def _settings(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._gateway.change(asked)
        return {}

    async def _reset(self, _: Mapping[str, Any]) -> dict[str, Any]:
        await self._gateway.start_over()
        return {}


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"`freeze` is {text!r}; it needs an offset from UTC.")
    return at.astimezone(UTC)


def _answers(
    handle: Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A control call as an HTTP handler. What is asked wrongly gets 400 and the reason."""

    async def answer(request: web.Request) -> web.Response:
        try:
            asked = dict(request.query) if request.method == "GET" else await request.json()
            return web.json_response(await handle(asked))
        except (ValueError, KeyError, TypeError, Full) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)

    return answer
