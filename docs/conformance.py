"""Tells a partner what its integration has shown in test sales, and what is still missing. Needs Python 3.9 only.

    python conformance.py https://shop.example --key fs_test_…              what your own code has done in the last day
    python conformance.py https://shop.example --key fs_test_… --since CODE      the same, since your test sale CODE
    python conformance.py https://shop.example --key fs_test_… --walk       makes every call itself, as a worked example

The exit status is 0 if nothing is missing, 1 if something is, 2 if the service does not answer as it should.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from email.message import Message
from typing import Any

Document = dict[str, Any]
Person = dict[str, str]
WAIT_MAX_S = 30


class Service:
    """The calls of a partner."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url.rstrip("/"), key

    def call(
        self, method: str, path: str, body: Document | None = None, key: str = ""
    ) -> tuple[int, Document, Message]:
        """Status, document and headers of one call. `key` is the Idempotency-Key."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return reply.status, json.load(reply), reply.headers
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers

    def patient(self, method: str, path: str, body: Document | None = None, key: str = "") -> tuple[int, Document]:
        """As `call`. After 429 and 503 it waits as Retry-After says, and sends the same request with the same key."""
        end = time.monotonic() + WAIT_MAX_S
        while True:
            status, document, headers = self.call(method, path, body, key)
            if status not in (429, 503) or time.monotonic() > end:
                return status, document
            time.sleep(int(headers.get("Retry-After", 1)))

    def get(self, path: str) -> Document:
        """The document of a reading call. Ends the program if it is refused."""
        status, document = self.patient("GET", path)
        if status != 200:
            sys.exit(f"GET {path}: {status} {document.get('code')}: {document.get('detail')}")
        return document


class Walk:
    """A partner's integration in small: every call that the checklist asks for, in two test sales."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.magic = {one["name"]: one for one in service.get("/v1/test/magic")["identities"]}
        self.people = 0
        self.first = ""

    def run(self) -> str:
        """Makes the calls. Returns the code of the first test sale."""
        self.open_sale(units=20, hold_s=120)
        self.first = self.sale
        names = ["reserve-unknown", "reserve-paused", "reserve-sold-out", "reserve-limit-reached", "reserve-lapsed"]
        people = [self.person(name) for name in [*names, "confirm-unknown", "confirm-review"]]
        declined, later, refund, _released = ordinary = [self.person() for _ in range(4)]
        places = [self.enter(who) for who in [*people, *ordinary]]
        self.enter(declined)  # the same person again has the same place
        for name in ("enter-not-ready", "enter-too-many-requests"):
            self.enter(self.person(name))
        self.wait_for_calls(len(places) + 2)
        held = [self.reserve(place) for place in places]
        self.confirm(held[5], people[5])
        self.confirm(held[6], people[6])
        self.read(held[6])
        self.confirm(held[7], declined, "test-declined")
        self.confirm(held[7], declined, "another-card")
        self.confirm(held[8], later, "test-later")
        self.pay(held[8])
        self.read_until(held[8], lambda row: row["state"] == "confirmed")
        self.confirm(held[9], refund, "test-refund-failed")
        self.write(held[9], "cancel", {"reason": "buyer_request"})
        self.read_until(held[9], lambda row: row["payment"]["state"] == "refund_failed")
        self.write(held[10], "release", {})
        self.late()
        self.events()
        return self.first

    def late(self) -> None:
        """Money that comes after the hold has ended."""
        self.open_sale(units=1, hold_s=3)
        who = self.person()
        place = self.enter(who)
        self.wait_for_calls(1)
        held = self.reserve(place)
        self.confirm(held, who, "test-late")
        self.read_until(held, lambda row: row["state"] != "held")
        self.pay(held)
        self.read_until(held, lambda row: row["payment"]["state"] in ("paid", "refunded"))

    def open_sale(self, **wanted: int) -> None:
        """Makes a test sale, and reads what it needs of people and payments."""
        self.made = self.done("POST", "/v1/test/sales", {"claim_s": 60, "lobby_s": 3, **wanted}, key=self.new_key())
        self.sale = self.made["sale"]
        self.line = f"/v1/sales/{self.sale}/lines/{self.made['line']}"
        document = self.service.get(f"/v1/sales/{self.sale}")
        self.axes = [axis["axis"] for axis in document["axes"] if axis["hard"]]
        self.needed_at_enter = [axis["axis"] for axis in document["axes"] if axis["needed_at"] == "enter"]
        methods = document["channel"]["payment_methods"]
        self.method = next(one["name"] for one in methods if one["name"] != "partner")

    def person(self, magic: str = "") -> Person:
        """A new person, with a value on each hard axis. With `magic`, the first axis has a magic value."""
        self.people += 1
        run, number = uuid.uuid4().hex[:8], int(uuid.uuid4().int % 10**8)
        values = {
            "phone": f"0812{number:08d}", "email": f"person-{run}@example.com", "account": f"person-{run}",
            "national_id": f"32{number:014d}", "address": f"Jl. Melati {number}", "payment": f"card-{run}",
            "device": f"device-{run}",
        }  # fmt: skip
        if magic:
            one, axis = self.magic[magic], self.needed_at_enter[0]
            values[axis] = {
                "email": one["email"].replace("@", f"+{run}@"), "phone": f"{one['phone'][:-4]}{number % 10**4:04d}",
                "national_id": f"{one['national_id'][:-6]}{number % 10**6:06d}",
            }.get(axis, f"{one['text']}+{run}")  # fmt: skip
        return {axis: values[axis] for axis in self.axes}

    def enter(self, who: Person) -> str:
        """The place of a person, who enters before the opening."""
        identity = {axis: who[axis] for axis in self.needed_at_enter}
        return self.done("POST", f"{self.line}/enter", {"identity": identity})["place"]

    def wait_for_calls(self, people: int) -> None:
        """Reads the status, the same for all, until so many people are called."""
        end = time.monotonic() + WAIT_MAX_S
        while self.service.get(f"{self.line}/status")["called"] < people:
            if time.monotonic() > end:
                sys.exit(f"the test sale {self.sale} has called fewer than {people} people in {WAIT_MAX_S} s")
            time.sleep(1)

    def reserve(self, place: str) -> str:
        """The reservation of a place. "" if it is refused: then the shopper is told, and nothing is tried again."""
        body = {"place": place, "items": [{"sku": self.made["items"][0]["sku"], "quantity": 1}]}
        return self.service.patient("POST", f"{self.line}/reserve", body, self.new_key())[1].get("reservation", "")

    def confirm(self, reservation: str, who: Person, instrument: str = "a-card") -> None:
        """Confirms with a new key, which stays the same for every repeat."""
        contact = {"name": "Test", "address": "Jl. Test 1", "phone": "081234567890", "email": "test@example.com"}
        body = {
            "identity": who, "contact": contact, "price": self.made["items"][0]["price"], "method": self.method,
            "instrument": instrument,
        }  # fmt: skip
        self.write(reservation, "confirm", body)

    def write(self, reservation: str, verb: str, body: Document) -> None:
        """A changing call about a reservation."""
        self.service.patient("POST", f"/v1/reservations/{reservation}/{verb}", body, self.new_key())

    def pay(self, reservation: str) -> None:
        """The buyer pays in the app of the test bank."""
        self.done("POST", f"/v1/test/payments/{self.read(reservation)['payment']['reference']}", {"paid": True})

    def read(self, reservation: str) -> Document:
        """The reservation now."""
        return self.service.get(f"/v1/reservations/{reservation}")

    def read_until(self, reservation: str, is_so: Callable[[Document], bool]) -> None:
        """Reads once a second until it is so."""
        end = time.monotonic() + WAIT_MAX_S
        while not is_so(row := self.read(reservation)):
            if time.monotonic() > end:
                sys.exit(f"the reservation {reservation} is still {row['state']}, its payment {row['payment']}")
            time.sleep(1)

    def events(self) -> None:
        """Reads the feed to its end, and then from there."""
        after, more = "", True
        while more:
            page = self.service.get("/v1/events" + (f"?after={after}" if after else ""))
            after, more = page["after"], page["more"]
        self.service.get(f"/v1/events?after={after}")

    def done(self, method: str, path: str, body: Document, key: str = "") -> Document:
        """A call that must succeed. Ends the program if it does not."""
        status, document = self.service.patient(method, path, body, key)
        if status >= 300:
            sys.exit(f"{method} {path}: {status} {document.get('code')}: {document.get('detail')}")
        return document

    @staticmethod
    def new_key() -> str:
        """An Idempotency-Key for one purchase or one change."""
        return f"walk-{uuid.uuid4()}"


def main() -> int:
    """Walks if asked, then prints the checklist."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", help="where the service is, such as https://shop.example")
    options.add_argument("--key", required=True, help="a test key of your channel: fs_test_…")
    options.add_argument("--since", default="", help="the code of a test sale: judges the calls since it was made")
    options.add_argument("--walk", action="store_true", help="makes every call of the checklist itself first")
    chosen = options.parse_args()
    service = Service(chosen.url, chosen.key)
    try:
        since = Walk(service).run() if chosen.walk else chosen.since
        found = service.get("/v1/test/conformance" + (f"?since_sale={since}" if since else ""))
    except (OSError, ValueError) as error:
        print(f"{chosen.url}: {error}", file=sys.stderr)
        return 2
    for check in found["checks"]:
        print(f"{'passed ' if check['passed'] else 'MISSING'}  {check['name']}")
        if not check["passed"]:
            print(f"         {check['why']}\n         To pass: {check['how']}")
    print(f"{found['passed']} of {found['total']} passed, by {found['calls']} calls.")
    return 0 if found["passed"] == found["total"] else 1


if __name__ == "__main__":
    sys.exit(main())
