"""Simulated gateways for one-time codes: WhatsApp Cloud API, Zenziva and Twilio, on one real socket.

Each gateway checks what it gets as its documentation says, and signs its reports by its own code. `behave` says what it
does with the messages that come from now on:

    deliver        takes them, and reports the delivery
    never          takes them, and reports nothing more than "sent"
    late           takes them, and reports the delivery when `release` is called
    undeliverable  takes them, and reports a failure (WhatsApp: 131026)
    rate           takes none: too many in a second (WhatsApp: 130429)
    pair           takes none: too many to this person (WhatsApp: 131056)
    refuses        takes none: its answer is an error
    slow           answers after SLOW_S
    reset          closes the connection after it has read the request
    silent         takes them, and closes the connection without an answer

Alone: python -m simulation.gateways.messages --port 9100 --report-to http://127.0.0.1:8000
`POST /control {"gateway": "whatsapp", "behaviour": "never"}` changes a behaviour then.
"""

import argparse
import asyncio
import hmac
import json
import threading
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import web

SLOW_S = 20.0
Report = Callable[[str, bytes, Mapping[str, str]], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as it came in."""

    gateway: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that a gateway has taken."""

    gateway: str
    reference: str
    to: str
    text: str
    report_to: str = ""


@dataclass(slots=True)
class Keys:
    """What the gateways know of the shop. All of it is made up."""

    phone_number_id: str = "106540352242922"
    bearer: str = "made-up-bearer"
    template: str = "kode_masuk"
    languages: tuple[str, ...] = ("id", "en")
    app_secret: str = "made-up-app-secret"  # noqa: S105 - all keys here are made up
    userkey: str = "made-up-userkey"
    passkey: str = "made-up-passkey"
    account: str = "AC00000000000000000000000000000001"
    auth_token: str = "made-up-auth-token"  # noqa: S105


class Refuses(Exception):
    """The gateway's answer to a request that it does not take."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.response = web.json_response(body, status=status)


@dataclass
class MessageGateways:
    """The three gateways. `report` is called with path, body and headers of each report."""

    report: Report | None = None
    keys: Keys = field(default_factory=Keys)
    calls: list[Call] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._behaviours: dict[tuple[str, str], str] = {}
        self._ids = count(1)
        self._reports: list[Future[None]] = []
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="gateway report")
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    # --- Control ---

    def behave(self, gateway: str, behaviour: str, *, to: str = "") -> None:
        """Sets what a gateway (whatsapp, zenziva, twilio) does from now on, with all messages or those to a number."""
        self._behaviours[gateway, to] = behaviour

    def release(self, event: str = "delivered") -> None:
        """Reports all messages that were taken so far."""
        for message in list(self.taken):
            self.tell(message, event)

    def wait_for_reports(self) -> None:
        """Returns when all reports about the messages that were taken so far have arrived."""
        wait(self._reports)
        for report in self._reports:
            report.result()

    def tell(self, message: Taken, event: str, **changes: str) -> Any:
        """Reports what became of a message, as its gateway does; returns what the receiver returned."""
        report = self.whatsapp_report if message.gateway == "whatsapp" else self.twilio_report
        path, body, headers = report(message, event, **changes)
        return self.report(path, body, headers) if self.report else None

    def whatsapp_report(self, message: Taken, event: str, error: str = "") -> tuple[str, bytes, dict[str, str]]:
        """Path, body and headers of a status."""
        status: dict[str, Any] = {
            "id": message.reference, "status": event, "timestamp": "1795900000", "recipient_id": message.to.lstrip("+"),
        }  # fmt: skip
        if error:
            status["errors"] = [{"code": int(error), "title": "Message undeliverable"}]
        value = {"messaging_product": "whatsapp", "statuses": [status]}
        entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        signature = hmac.new(self.keys.app_secret.encode(), body, "sha256").hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        return "/v1/codes/whatsapp", body, headers

    def twilio_report(self, message: Taken, event: str, error: str = "") -> tuple[str, bytes, dict[str, str]]:
        """Path, body and headers of a status report."""
        fields = {
            "MessageSid": message.reference, "MessageStatus": event, "To": message.to, "AccountSid": self.keys.account,
        }  # fmt: skip
        if error:
            fields["ErrorCode"] = error
        signed = message.report_to + "".join(f"{name}{fields[name]}" for name in sorted(fields))
        signature = b64encode(hmac.new(self.keys.auth_token.encode(), signed.encode(), "sha1").digest()).decode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        return urlsplit(message.report_to).path, urlencode(fields).encode(), headers

    # --- The servers ---

    @property
    def url(self) -> str:
        """The start of all addresses."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._threads.shutdown()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.add_routes([
            web.post("/{version}/{id}/messages", self._handler("whatsapp", self._whatsapp)),
            web.post("/{kind}/api/sendsms/", self._handler("zenziva", self._zenziva)),
            web.post("/2010-04-01/Accounts/{account}/Messages.json", self._handler("twilio", self._twilio)),
            web.post("/control", self._control),
        ])  # fmt: skip
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    def _handler(self, gateway: str, take: Callable[[web.Request, bytes], tuple[Taken, web.Response]]) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            self.calls.append(Call(gateway, request.path, dict(request.headers), body))
            try:
                message, response = take(request, body)
            except Refuses as refusal:
                return refusal.response
            behaviour = self._behaviour(gateway, message.to)
            if behaviour == "reset":
                return self._cut(request)
            if refused := self._refusal(gateway, behaviour):
                return refused
            self.taken.append(message)
            if behaviour == "slow":
                await asyncio.sleep(SLOW_S)
            if behaviour == "silent":
                return self._cut(request)
            self._tell_later(message, behaviour)
            return response

        return handle

    def _cut(self, request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.abort()
        return web.Response()

    def _behaviour(self, gateway: str, to: str) -> str:
        return self._behaviours.get((gateway, to)) or self._behaviours.get((gateway, ""), "deliver")

    def _refusal(self, gateway: str, behaviour: str) -> web.Response | None:
        if behaviour not in {"rate", "pair", "refuses"}:
            return None
        if gateway == "whatsapp":
            code = {"rate": 130429, "pair": 131056, "refuses": 131008}[behaviour]
            error = {"message": f"(#{code}) refused", "type": "OAuthException", "code": code}
            return web.json_response({"error": error}, status=400)
        if gateway == "zenziva":
            return web.json_response({"status": "0", "text": "Gagal"})
        return web.json_response({"code": 20429, "status": 429}, status=429)

    def _tell_later(self, message: Taken, behaviour: str) -> None:
        """Reports from another thread, as a gateway does after its answer."""
        failed = "failed" if message.gateway == "whatsapp" else "undelivered"
        events = {"deliver": ["sent", "delivered"], "undeliverable": [failed]}.get(behaviour, ["sent"])
        error = ("131026" if message.gateway == "whatsapp" else "30003") if events == [failed] else ""
        if message.gateway == "zenziva" or not self.report:
            return

        def tell() -> None:
            for event in events:
                self.tell(message, event, error=error)

        self._reports.append(self._threads.submit(tell))

    async def _control(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.behave(asked["gateway"], asked["behaviour"], to=asked.get("to", ""))
        return web.json_response({"taken": len(self.taken)})

    # --- What each gateway takes ---

    def _whatsapp(self, request: web.Request, body: bytes) -> tuple[Taken, web.Response]:
        if request.headers.get("Authorization") != f"Bearer {self.keys.bearer}":
            raise Refuses(401, {"error": {"message": "Invalid OAuth access token", "code": 190}})
        said = json.loads(body)
        template = said.get("template", {})
        parts = {part["type"]: part for part in template.get("components", [])}
        texts = [part["parameters"] for part in parts.values()]
        code = texts[0][0]["text"] if texts else ""
        is_button = parts.get("button", {}).get("sub_type") == "url" and parts.get("button", {}).get("index") == "0"
        right = (
            request.match_info["id"] == self.keys.phone_number_id
            and (said.get("messaging_product"), said.get("type")) == ("whatsapp", "template")
            and is_button
            and texts == [[{"type": "text", "text": code}]] * 2
            and len(code) <= 15
        )
        if not right:
            raise Refuses(400, {"error": {"message": "(#132000) parameters do not match", "code": 132000}})
        if (
            template.get("name") != self.keys.template
            or template.get("language", {}).get("code") not in self.keys.languages
        ):
            raise Refuses(404, {"error": {"message": "(#132001) no such template", "code": 132001}})
        reference = f"wamid.{b64encode(said['to'].encode()).decode()}{next(self._ids)}"
        answer = {"messaging_product": "whatsapp", "messages": [{"id": reference}]}
        return Taken("whatsapp", reference, said["to"], code), web.json_response(answer)

    def _zenziva(self, _request: web.Request, body: bytes) -> tuple[Taken, web.Response]:
        form = dict(parse_qsl(body.decode()))
        if (form.get("userkey"), form.get("passkey")) != (self.keys.userkey, self.keys.passkey):
            raise Refuses(200, {"status": "5", "text": "Userkey / Passkey salah"})
        if not form.get("to") or not form.get("message"):
            raise Refuses(200, {"status": "0", "text": "Gagal"})
        reference = str(next(self._ids))
        answer = {"messageId": reference, "to": form["to"], "status": "1", "text": "Success"}
        return Taken("zenziva", reference, form["to"], form["message"]), web.json_response(answer, status=201)

    def _twilio(self, request: web.Request, body: bytes) -> tuple[Taken, web.Response]:
        scheme, _, pair = request.headers.get("Authorization", "").partition(" ")
        expected = f"{self.keys.account}:{self.keys.auth_token}"
        if scheme != "Basic" or b64decode(pair).decode() != expected:
            raise Refuses(401, {"code": 20003, "message": "Authenticate", "status": 401})
        form = dict(parse_qsl(body.decode()))
        if not form.get("To", "").startswith("+") or not form.get("From") or not form.get("Body"):
            raise Refuses(400, {"code": 21211, "message": "Invalid 'To' Phone Number", "status": 400})
        reference = f"SM{next(self._ids):032d}"
        answer = {"sid": reference, "status": "queued", "error_code": None}
        message = Taken("twilio", reference, form["To"], form["Body"], form.get("StatusCallback", ""))
        return message, web.json_response(answer, status=201)


def _post_to(url: str) -> Report:
    def post(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        request = urllib.request.Request(url + path, body, dict(headers), method="POST")  # noqa: S310 - given by a person
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
            return answer.status

    return post


def main() -> None:
    """Runs the gateways until Ctrl-C."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--report-to", default="http://127.0.0.1:8000", help="the address of the site")
    options = parser.parse_args()
    with MessageGateways(report=_post_to(options.report_to.rstrip("/")), port=options.port) as gateways:
        print(f"WhatsApp: {gateways.url}/v0/{gateways.keys.phone_number_id}/messages", flush=True)
        print(f"Zenziva:  {gateways.url}/reguler/api/sendsms/", flush=True)
        print(f"Twilio:   {gateways.url}/2010-04-01/Accounts/{gateways.keys.account}/Messages.json", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
