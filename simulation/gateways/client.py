"""Starts a simulated gateway, and controls it: its clock, its buyers, its faults, its ledger.

For tests and the story. The calls are plain HTTP with JSON to the control port; a call that the simulator refuses
raises ControlRefused.
"""

import base64
import json
import sys
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote

from simulation.gateways.faults import Fault, Operation
from simulation.gateways.payments import MADE_UP_KEYS
from simulation.processes import Process, free_port, wait_http

ROOT = Path(__file__).resolve().parents[2]


class ControlRefused(RuntimeError):
    """The simulator refuses a control call. The text says why."""


class Code(NamedTuple):
    """Something that a buyer can pay with: `value` is a QR string, an account number or an address."""

    kind: str
    value: str
    payment: str
    state: str


class Paid(NamedTuple):
    """What happened to a buyer who tried to pay. `why` says why the bank or wallet refused."""

    accepted: bool
    why: str
    payment: str
    state: str


class Entry(NamedTuple):
    """One movement of money. `why` is payment, refund, reversal or cancel; `amount` is in rupiah and above 0."""

    reference: str
    direction: Literal["in", "out"]
    amount: int
    why: str
    payment: str
    method: str
    at: datetime


class Sums(NamedTuple):
    """What came in and went out for one reference, in rupiah."""

    money_in: int
    money_out: int


class Webhook(NamedTuple):
    """One webhook: where it went, what it said, and the HTTP status of each try (0: no answer).

    Without an address of this machine, it is kept with no tries, so that a test can hand it over itself.
    """

    number: int
    reference: str
    event: str
    url: str
    body: bytes
    headers: Mapping[str, str]
    answers: list[int]
    waiting: bool


class Settlement(NamedTuple):
    """The settlement file of a day as CSV text, and its wrong rows: `kind` (missing, extra, amount), `reference`."""

    csv: str
    wrong: list[dict[str, str]]


class GatewayControl:
    """The control port of one simulated gateway."""

    def __init__(self, port: int) -> None:
        self._port = port

    # --- its clock

    def now(self) -> datetime:
        """What the gateway's clock shows."""
        return self._time("GET", "/clock")

    def freeze(self, at: datetime | None = None) -> datetime:
        """Stops the clock; at `at`, or where it stands."""
        return self._time("POST", "/clock", {"freeze": at.isoformat() if at else ""})

    def run_clock(self) -> datetime:
        """Lets a frozen clock go on from where it stands."""
        return self._time("POST", "/clock", {"run": True})

    def advance(self, by: timedelta) -> datetime:
        """Moves the clock. What falls due on the way happens in its order, webhooks and their repeats included."""
        return self._time("POST", "/clock", {"advance": by.total_seconds()})

    def offset(self, by: timedelta) -> datetime:
        """Makes the clock wrong by this time; 0 makes it right again. What has happened is not undone."""
        return self._time("POST", "/clock", {"offset": by.total_seconds()})

    # --- its buyers

    def codes(self, reference: str = "") -> list[Code]:
        """All codes that were given out, for a reference if one is named, the oldest first."""
        return [Code(**row) for row in self._call("GET", f"/codes?reference={quote(reference)}")["codes"]]

    def pay(
        self,
        code: str,
        *,
        amount: int | None = None,
        force: bool = False,
        hidden: bool = False,
        issuer: str = "",
        card: str = "",
        method: str = "",
        account: str = "",
    ) -> Paid:
        """A buyer pays a code. Without `force`, the bank's rules hold: it refuses closed codes and other amounts.

        With `force`, money arrives that should not: late, twice, or of another amount. `hidden` money is not shown by
        the API, but it is in the ledger and in the settlement file. `issuer` is the buyer's app, `card` a test card,
        `method` what the buyer picks on a payment page, `account` the buyer's account at a wallet that tells it.
        """
        asked = {"code": code, "amount": amount, "force": force, "hidden": hidden, "account": account}
        return self._buyer({"action": "pay", **asked, "issuer": issuer, "card": card, "method": method})

    def pick(self, code: str, method: str) -> Paid:
        """A buyer picks a method on a payment page and does not pay yet; `codes` shows what to pay then."""
        return self._buyer({"action": "pick", "code": code, "method": method})

    def decline(self, code: str) -> Paid:
        """A buyer's payment is declined by the bank."""
        return self._buyer({"action": "decline", "code": code})

    def reverse(self, code: str, *, force: bool = False) -> Paid:
        """The bank takes a payment back; for methods where that happens, or with `force`."""
        return self._buyer({"action": "reverse", "code": code, "force": force})

    # --- its faults

    def fault(
        self,
        kind: Fault,
        *,
        reference: str = "",
        on: Operation | str = "",
        rate: float = 1.0,
        seed: int = 0,
        times: int | None = 1,
        seconds: float = 0.0,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Sets a fault for the next `times` matching calls or webhooks (None: for all)."""
        where = {"reference": reference, "on": str(on), "rate": rate, "seed": seed, "times": times}
        self._call("POST", "/faults", {"kind": kind.value, **where, "seconds": seconds, "fields": dict(fields or {})})

    def faults(self) -> list[dict[str, Any]]:
        """The faults that are set, with how often each has hit (`hits`)."""
        found: list[dict[str, Any]] = self._call("GET", "/faults")["faults"]
        return found

    def clear_faults(self) -> None:
        """Removes all faults."""
        self._call("DELETE", "/faults")

    # --- its webhooks

    def notify(self, url: str) -> None:
        """Where webhooks go (the setting of the gateway's dashboard). "" keeps them."""
        self._call("POST", "/settings", {"notify_url": url})

    def webhooks(self, reference: str = "") -> list[Webhook]:
        """The webhooks so far, the oldest first; the newest 10,000 are kept."""
        rows = self._call("GET", f"/webhooks?reference={quote(reference)}")["webhooks"]
        return [Webhook(**{**row, "body": base64.b64decode(row["body"])}) for row in rows]

    def delivered(self) -> None:
        """Waits until no delivery is under way. Repeats that wait for the clock do not count."""
        self._call("POST", "/webhooks", {"action": "delivered"})

    def replay(self, number: int) -> None:
        """Sends an old webhook again, byte by byte."""
        self._call("POST", "/webhooks", {"action": "replay", "number": number})

    def forge(
        self, reference: str, fields: Mapping[str, Any] | None = None, *, signed: Literal["altered", "resigned", "no"]
    ) -> Webhook:
        """Makes and sends a webhook about a payment with some fields changed.

        Signed as the true one ("altered": the signature of a true webhook, other fields), with a signature that fits
        the changed fields ("resigned"), or without a valid one ("no").
        """
        asked = {"action": "forge", "reference": reference, "fields": dict(fields or {}), "signed": signed}
        row = self._call("POST", "/webhooks", asked)
        return Webhook(**{**row, "body": base64.b64decode(row["body"])})

    # --- its books

    def ledger(self) -> dict[str, Sums]:
        """Money in and out for each reference."""
        return {name: Sums(*sums) for name, sums in self._call("GET", "/ledger")["references"].items()}

    def entries(self, reference: str = "") -> list[Entry]:
        """Each movement of money, the oldest first."""
        rows = self._call("GET", f"/ledger?reference={quote(reference)}")["entries"]
        return [Entry(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows]

    def settlement(self, day: date, *, wrong: bool = False) -> Settlement:
        """The settlement file of a day (in Jakarta). With `wrong`, one row is missing, one too many, one amount off."""
        found = self._call("GET", f"/settlement?day={day.isoformat()}&wrong={int(wrong)}")
        return Settlement(found["csv"], found["wrong"])

    def calls(self) -> dict[str, int]:
        """How many calls of each operation came, refused ones included."""
        found: dict[str, int] = self._call("GET", "/calls")["calls"]
        return found

    # --- its settings

    def rotate(self, *, key: str = "", token: str = "") -> None:
        """Replaces the API key or the webhook token. The old one is worth nothing from now on."""
        self._call("POST", "/settings", {"key": key, "token": token})

    def pace(self, calls_a_minute: int) -> None:
        """How many calls a minute it takes before it answers 429."""
        self._call("POST", "/settings", {"calls_a_minute": calls_a_minute})

    def settings(self, **values: Any) -> None:
        """Changes other settings of this gateway; the simulator refuses names that it does not have."""
        self._call("POST", "/settings", values)

    def reset(self) -> None:
        """Forgets everything, as a fresh start: payments, money, faults, webhooks, settings. The clock runs true."""
        self._call("POST", "/reset")

    # ---

    def _buyer(self, asked: Mapping[str, Any]) -> Paid:
        return Paid(**self._call("POST", "/buyer", asked))

    def _time(self, verb: str, path: str, asked: Mapping[str, Any] | None = None) -> datetime:
        return datetime.fromisoformat(self._call(verb, path, asked)["now"])

    def _call(self, verb: str, path: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        link = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            link.request(verb, path, json.dumps(asked or {}), {"Content-Type": "application/json"})
            answer = link.getresponse()
            body = answer.read()
        finally:
            link.close()
        if answer.status != 200:
            raise ControlRefused(f"{verb} {path}: {answer.status} {body.decode(errors='replace')}")
        found: dict[str, Any] = json.loads(body)
        return found


class Gateway:
    """A simulated gateway as a child process. `url` is its API; `control` its control port. A context manager."""

    def __init__(
        self,
        name: Literal["midtrans", "xendit"],
        *,
        log: Path,
        retry_scale: float = 1.0,
        ports: tuple[int, int] | None = None,
    ) -> None:
        """`ports` are those of the API and of the controls; without them, two free ones."""
        self.name = name
        self.key, self.token = MADE_UP_KEYS[name]
        self._port, control = ports or (free_port(), free_port())
        self.url = f"http://127.0.0.1:{self._port}"
        self.control = GatewayControl(control)
        self._ready = f"http://127.0.0.1:{control}/clock"
        options = ["--port", str(self._port), "--control-port", str(control), "--retry-scale", str(retry_scale)]
        command = [sys.executable, "-m", f"simulation.gateways.{name}", *options]
        self._process = Process(name=name, command=command, log=log, cwd=ROOT)

    @property
    def process(self) -> Process:
        """The child process."""
        return self._process

    def start(self) -> Self:
        """Starts it and waits until it answers. Raises ServerNotReady."""
        self._process.start()
        try:
            wait_http(self._ready, process=self._process)
        except BaseException:
            self._process.kill()
            raise
        return self

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
