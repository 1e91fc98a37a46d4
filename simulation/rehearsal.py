"""The crowd of a rehearsal: people over real HTTP at the doors of an installation, on this machine or another.

It needs the address of the installation and the one-time key of the rehearsal (flashsale/life/rehearse.py), and neither
Django nor a database. It is the crowd of the bench (bench/sale_crowd.py) with another way in: its people enter at a
bounded speed, most of them before the opening, think before they reserve and pay, and each answer is timed.
"""

import asyncio
import heapq
import os
import random
import ssl
import sys
import threading
import time
from argparse import ArgumentParser
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from getpass import getpass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import orjson
import uvloop

from flashsale.rules.identity import Axis
from flashsale.rules.rehearsals import CLASSES, EARLY, VERBS, Terms, identity
from simulation.bench.links import Links, Then
from simulation.bench.sale_crowd import (
    BUYER_LINKS,
    LOOP_S,
    PERSON_BITS,
    STATUS_LINKS,
    Crowd,
    Line,
    Plan,
    code_of,
    now_ms,
)

KEY = "FLASHSALE_REHEARSAL_KEY"
ASK_S, BEGIN_S = 10.0, 120.0
NOTE_S = 1.0
# Without an answer of the installation for so long, the crowd leaves by itself.
LOST_S = 20.0
REPORT_S = 180.0
# Processes learn a new key within some seconds.
KNOWN_S = 15.0
THINK_S_MAX = 10.0
FINE = {"did not come", "paid"}


class NotRehearsed(Exception):
    """The installation did not answer, or refused. The text says what it answered."""


class Desk:
    """The installation, where the crowd shows its key and says how it goes."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self._key = url.rstrip("/"), key

    def ask(self, step: str, body: Mapping[str, Any], *, seconds: float = ASK_S) -> dict[str, Any]:
        """The answer to a step. Raises NotRehearsed."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        request = Request(f"{self.url}/rehearsals/{step}", orjson.dumps(body), headers, method="POST")  # noqa: S310 - http(s): checked by `run`
        try:
            with urlopen(request, timeout=seconds) as answer:  # noqa: S310
                return dict(orjson.loads(answer.read()))
        except HTTPError as error:
            text_of_error = error.read()[:2000]
            try:
                text = str(orjson.loads(text_of_error)["detail"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                text = text_of_error.decode(errors="replace")[:200]
            raise NotRehearsed(f"{self.url} refused ({error.code}): {text}") from error
        except (URLError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise NotRehearsed(f"{self.url} did not answer: {error}") from error


class TimedLinks:
    """Connections that note how long each answer takes, by verb, from when the person asks."""

    def __init__(self, links: Links, crowd: "RehearsalCrowd") -> None:
        self._links, self._crowd = links, crowd

    def ask(self, request: bytes, person: int, then: Then) -> None:
        """As Links.ask."""
        path = request[: request.index(b" HTTP/1.1")]
        verb = path[path.rindex(b"/") + 1 :].decode()
        began = time.perf_counter()

        def answered(person: int, status: int, head: bytes, body: bytes) -> None:
            self._crowd.note(verb, person, status, 1000 * (time.perf_counter() - began))
            then(person, status, head, body)

        self._links.ask(request, person, answered)

    def close(self) -> None:
        """As Links.close."""
        self._links.close()


class RehearsalCrowd(Crowd):
    """The people of a rehearsal. `plan` is the answer to the step `begin`."""

    def __init__(self, url: str, plan: Mapping[str, Any]) -> None:
        self.terms = Terms(**plan["terms"])
        slots: Sequence[Mapping[str, Any]] = plan["lines"]
        base = Plan(
            door_port=0, status_port=0, sale=plan["sale"], sku="", lines=[], people=self.terms.people,
            no_shows=self.terms.no_shows, entering=0, load_ms=0, enter_s=0, sale_s=0,
        )  # fmt: skip
        super().__init__(base)
        where = urlsplit(url)
        port = where.port or (443 if where.scheme == "https" else 80)
        tls = ssl.create_default_context() if where.scheme == "https" else None
        self._connect = lambda most: TimedLinks(Links(port, most, host=where.hostname or "", tls=tls), self)
        known = {
            (slot["line"], slot["channel"]): Line(plan["sale"], slot["line"], slot["key"], host=where.netloc)
            for slot in slots
        }
        self.slots = slots
        self.lines = [known[slot["line"], slot["channel"]] for slot in slots]
        chance = random.Random(self.terms.seed)
        self.random = chance.random
        self.shows_up = bytes(chance.random() >= self.terms.no_shows for _ in range(self.terms.people))
        self.axes, self.hard = plan["axes"], set(plan["hard"])
        self.method = plan["method"]
        self.think_s = min(THINK_S_MAX, plan["claim_s"] / 4)
        self.opens_at = now_ms() + plan["opens_in_ms"]
        self.stopped = threading.Event()
        self.entered_at = [0] * self.terms.people
        self.tried: dict[int, set[str]] = {}
        self.times = {verb: array("f") for verb in VERBS}
        self.seconds: Counter[int] = Counter()
        self.by_minute: Counter[tuple[str, int]] = Counter()
        self.heard_by_second: Counter[int] = Counter()
        self.failed = self.called = self.no_shows = 0
        self.first_paid_ms = 0
        self._known_by = 0.0
        self._early = 0

    def note(self, verb: str, person: int, status: int, took_ms: float) -> None:
        """Notes an answer; status 0 is none."""
        at = now_ms()
        self.seconds[at // 1000] += 1
        self.times[verb].append(took_ms)
        self.failed += status == 0 or status >= 500
        if verb in CLASSES:
            channel = self.slots[person % len(self.slots)]["channel"]
            self.by_minute[f"{channel}/{CLASSES[verb]}", at // 60_000] += 1

    async def attend(self) -> bool:
        """Lets the people enter, poll and buy. Returns whether the sale is over, False when the time is, or a stop."""
        self.links, self.status_links = self._connect(BUYER_LINKS), self._connect(STATUS_LINKS)  # type: ignore[assignment]
        began = time.monotonic()
        self._known_by = began + KNOWN_S
        lead_s = max(0.0, (self.opens_at - now_ms()) / 1000)
        ends = began + lead_s + 60 * self.terms.minutes
        over = False
        while not over and not self.stopped.is_set() and time.monotonic() < ends:
            while self._next < self._due(time.monotonic() - began):
                self._enter()
            if not self._poll_due():
                over = self._is_over()
                await asyncio.sleep(LOOP_S)
            else:
                await asyncio.sleep(0)
        self.links.close()
        self.status_links.close()
        await asyncio.sleep(0)  # the loop closes the connections before it ends
        return over

    def _due(self, since_s: float) -> int:
        """How many people may have come by now: at the bounded speed, the late ones after the opening."""
        open_s = (now_ms() - self.opens_at) / 1000
        if open_s < 0:
            self._early = min(round(EARLY * self.terms.people), 1 + int(since_s * self.terms.speed))
            return self._early
        return min(self.terms.people, self._early + 1 + int(open_s * self.terms.speed))

    def _is_over(self) -> bool:
        everyone = self.answered_entries == self.terms.people
        return everyone and not self.busy and all(line.over for line in self.lines)

    def _enter(self) -> None:
        person, self._next = self._next, self._next + 1
        who = {axis: value for axis, value in self._who(person).items() if self.axes[axis] == "enter"}
        self.post(self.line_of(person).heads["enter"], orjson.dumps({"identity": who}), person, self._entered)

    def _who(self, person: int) -> dict[str, str]:
        return {axis.value: value for axis, value in identity(person).items() if axis.value in self.axes}

    def _entered(self, person: int, status: int, body: bytes) -> None:
        self.answered_entries += 1
        if status not in {200, 201}:
            self.answers[f"enter {code_of(body) or status}"] += 1
            return
        answer = orjson.loads(body)
        now = now_ms()
        self.tokens[person], self.indexes[person] = answer["place"].encode(), answer["index"]
        self.entered_at[person] = now
        heapq.heappush(self.heap, (now + round(1000 * self.random())) << PERSON_BITS | person)

    def _look(self, person: int) -> None:
        self.called += 1
        self.heard_by_second[now_ms() // 1000] += 1
        super()._look(person)

    def _reserve(self, person: int) -> None:
        self._later(self._reserve_now, person)

    def _reserve_now(self, person: int) -> None:
        skus = self.slots[person % len(self.slots)]["skus"]
        tried = self.tried.setdefault(person, set())
        left = {sku: units for sku, units in skus.items() if sku not in tried}
        (sku,) = random.Random(f"{self.terms.seed}/{person}/{len(tried)}").choices([*left], [*left.values()])
        tried.add(sku)
        body = orjson.dumps({"place": self.tokens[person].decode(), "items": [{"sku": sku, "quantity": 1}]})
        head = f"{self.line_of(person).heads['reserve']}Idempotency-Key: r-{person}-{len(tried)}\r\n"
        self.post(head, body, person, self._reserved)

    def _reserved(self, person: int, status: int, body: bytes) -> None:
        more = len(self.tried[person]) < len(self.slots[person % len(self.slots)]["skus"])
        if status != 201 and code_of(body) == "sold_out" and more:
            self._reserve_now(person)  # another product of the line
            return
        super()._reserved(person, status, body)

    def _confirm(self, person: int, amount: int) -> None:
        self._later(self._confirm_now, person, amount)

    def _confirm_now(self, person: int, amount: int) -> None:
        who = self._who(person)
        contact = {
            "name": "Rehearsal", "address": identity(person)[Axis.ADDRESS], "phone": identity(person)[Axis.PHONE],
            "email": identity(person)[Axis.EMAIL],
        }  # fmt: skip
        pay = {
            "identity": who, "contact": contact, "price": amount, "method": self.method,
            "instrument": f"rehearsal-{self.terms.seed}-{person}",
        }  # fmt: skip
        head = f"POST /v1/reservations/{self.reservations[person]}/confirm{self.line_of(person).confirm}"
        self.post(f"{head}Idempotency-Key: c-{person}\r\n", orjson.dumps(pay), person, self._paid)

    def _later(self, act: Callable[..., None], *arguments: Any) -> None:
        """People think before they act."""
        asyncio.get_running_loop().call_later(self.think_s * (0.1 + 0.9 * self.random()), act, *arguments)

    def _note_paid(self, person: int, reference: str, at: int) -> None:
        self.first_paid_ms = self.first_paid_ms or at
        super()._note_paid(person, reference, at)

    def _end(self, person: int, answer: str) -> None:
        self.no_shows += answer == "did not come"
        super()._end(person, answer)

    def is_worth_another_try(self, status: int, answer: bytes) -> bool:
        """Also an answer to a key that a process does not know yet."""
        is_new = status in {401, 404} and time.monotonic() < self._known_by
        return not self.stopped.is_set() and (is_new or super().is_worth_another_try(status, answer))

    def progress(self) -> dict[str, int]:
        """How it goes, as counts of people, and the calls of the last second."""
        paid = self.by_second["paid"].total()
        calls = self.seconds[now_ms() // 1000 - 1]
        entered = self.answered_entries - sum(
            count for name, count in [*self.answers.items()] if name.startswith("enter")
        )
        return {
            "people": self.terms.people, "entered": entered, "called": self.called, "paid": paid, "calls": calls,
        }  # fmt: skip

    def figures(self, *, over: bool, seconds: float) -> dict[str, Any]:
        """What the crowd has measured: see `read_figures` of flashsale/rules/rehearsals.py."""
        entered = [person for person in range(self.terms.people) if self.entered_at[person]]
        early = [person for person in entered if self.entered_at[person] < self.opens_at]
        late = [person for person in entered if self.entered_at[person] >= self.opens_at]
        paid = self.by_second["paid"].total()
        codes = Counter(self.slots[person % len(self.slots)]["line"] for person in entered)
        busiest: dict[str, int] = {}
        for (name, _minute), count in self.by_minute.items():
            busiest[name] = max(busiest.get(name, 0), count)
        calls = sum(map(len, self.times.values()))
        after = lambda at: max(0.0, (at - self.opens_at) / 1000) if at else None  # noqa: E731
        return {
            "people": self.terms.people, "entered": len(entered), "called": self.called, "no_shows": self.no_shows,
            "reserved": self.by_second["reserved"].total(), "paid": paid, "failed": self.failed,
            "disappointed": max(0, len(entered) - paid - self.no_shows), "over": over, "late_ms": self.late_ms,
            "early_wait_s": self._waits(early, since=self.opens_at), "late_wait_s": self._waits(late, since=0),
            "refused": {name: count for name, count in self.answers.items() if name not in FINE},
            "first_paid_s": after(self.first_paid_ms), "last_paid_s": after(self.last_paid_ms),
            "verbs": {verb: _spread(times) for verb, times in self.times.items() if times},
            "seconds": round(seconds, 1), "calls_per_s": round(calls / max(1.0, seconds), 1),
            "calls_highest": max(self.seconds.values(), default=0), "quotas": busiest,
            "called_highest": _best(self.heard_by_second), "paid_highest": _best(self.by_second["paid"]),
            "entered_by_line": dict(codes),
        }  # fmt: skip

    def _waits(self, people: Sequence[int], *, since: int) -> dict[str, float]:
        waits = sorted(
            max(0.0, (self.heard[person] - (since or self.entered_at[person])) / 1000)
            for person in people
            if self.heard[person]
        )
        found = {"half": _at(waits, 0.5), "p95": _at(waits, 0.95), "most": _at(waits, 1)}
        return {"people": len(people), "called": len(waits)} | found


def _spread(times: "array[float]") -> dict[str, float]:
    ordered = sorted(times)
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "most_ms": 1}
    return {"calls": len(ordered)} | {name: _at(ordered, share) for name, share in shares.items()}


def _at(ordered: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by this share of the values; 0 without any."""
    return round(ordered[max(0, min(len(ordered) - 1, int(share * len(ordered) + 0.999) - 1))], 1) if ordered else 0.0


def _best(by_second: Mapping[int, int]) -> float:
    """The best mean of ten seconds in a row, in a second."""
    return max((sum(by_second.get(at + more, 0) for more in range(10)) / 10 for at in [*by_second]), default=0.0)


def run(url: str, key: str, show: Callable[[Mapping[str, int]], None]) -> None:
    """Sends the crowd of this key to the installation at `url`, until the sale is over, its time is, or a stop.

    `show` gets the progress once a second. Raises NotRehearsed. A rehearsal that is not finished here is finished by
    the installation after 30 s.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise NotRehearsed(f"{url} is no address. Write one such as https://sale.example.")
    desk = Desk(url, key)
    crowd = RehearsalCrowd(url, desk.ask("begin", {}, seconds=BEGIN_S))
    began = time.monotonic()
    done = threading.Event()
    telling = threading.Thread(target=_tell, args=(desk, crowd, show, done), daemon=True)
    telling.start()
    try:
        over = uvloop.run(crowd.attend())
    finally:
        done.set()
        telling.join()
    figures = crowd.figures(over=over, seconds=time.monotonic() - began)
    desk.ask("end", figures)


def wait_for_report(url: str, key: str) -> dict[str, Any]:
    """The report, which the installation writes when the crowd has left. Raises NotRehearsed."""
    desk, until = Desk(url, key), time.monotonic() + REPORT_S
    while time.monotonic() < until:
        if report := desk.ask("note", {}).get("report"):
            return dict(report)
        time.sleep(1)
    raise NotRehearsed(f"No report after {REPORT_S:.0f} s. Does Celery run? The page of the rehearsal will show it.")


def _tell(desk: Desk, crowd: RehearsalCrowd, show: Callable[[Mapping[str, int]], None], done: threading.Event) -> None:
    """Says once a second how it goes, until the crowd has left. It leaves when the installation says so, or is away."""
    answered = time.monotonic()
    while not done.wait(NOTE_S):
        try:
            progress = crowd.progress()
            if desk.ask("note", progress)["stop"]:
                crowd.stopped.set()
            show(progress)
            answered = time.monotonic()
        except (NotRehearsed, RuntimeError):  # RuntimeError: a dict of the crowd has grown meanwhile
            if time.monotonic() - answered > LOST_S:
                crowd.stopped.set()


def main() -> None:
    """`python -m simulation.rehearsal --url URL`: sends the crowd of the key in FLASHSALE_REHEARSAL_KEY.

    Prints the progress, and then the report as JSON.
    """
    parser = ArgumentParser(description="Send the crowd of a rehearsal to an installation.")
    parser.add_argument("--url", required=True, help="address of the installation")
    url = parser.parse_args().url
    key = os.environ.pop(KEY, "") or getpass("Key of the rehearsal: ")
    try:
        run(url, key, lambda progress: print(orjson.dumps(progress).decode(), file=sys.stderr, flush=True))
        print(orjson.dumps(wait_for_report(url, key), option=orjson.OPT_INDENT_2).decode())
    except NotRehearsed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
