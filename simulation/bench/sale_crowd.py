"""The crowd of a whole sale: `python -m simulation.bench.sale_crowd PLAN LEDGER`, a process of its own.

Every person enters, polls as the page does (flashsale/rules/polling.py), looks at their place when they hear that they
are called, reserves one unit and pays. Some are called and do not buy. The crowd knows only what the servers answer,
and writes it down: its ledger is compared with PostgreSQL and Redis afterwards.

1. All people enter. The process prints `{"entered": …}` and waits for a line on its standard input.
2. Each person loads the page within `load_ms`, polls and buys, until the lines are over or the time is. Then the ledger
   is written. Progress is printed as `{"progress": …}`.

It does not need Django, sends only to the loopback address, and has no task for a person: a heap has the times of the
next polls.
"""

import asyncio
import heapq
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import uvloop

from flashsale.rules import lottery
from flashsale.rules.polling import Status, next_poll_ms
from simulation.bench.links import HOST, Links, retry_after_s

VERBS = ("enter", "enter-bundle", "look", "reserve")
STATUS_LINKS, BUYER_LINKS = 256, 512
PERSON_BITS = 21
POLLS_AT_ONCE, LOOP_S = 400, 0.002
PROGRESS_S = 10.0
AGAIN_MS_MAX, FAILURES_MAX = 30_000, 6
STATUS_FAILED_MS_MAX = 60_000
CONTENT = "Content-Type: application/json\r\nContent-Length: "


class Plan(NamedTuple):
    """What the crowd is told. `lines` has code and key of each; person n stands in line n modulo the count of lines."""

    door_port: int
    status_port: int
    sale: str
    sku: str
    lines: list[tuple[str, str]]
    people: int
    no_shows: float
    entering: int
    load_ms: int
    enter_s: float
    sale_s: float


class Line:
    """A line, as its people know it: the requests, and the last status document that came."""

    def __init__(self, sale: str, code: str, key: str, *, host: str = HOST) -> None:
        path = f"/v1/sales/{sale}/lines/{code}"
        head = f" HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        self.heads = {verb: f"POST {path}/{verb}{head}" for verb in VERBS}
        self.confirm = head
        self.status_request = f"GET {path}/status HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self.body = b""
        self.document: dict[str, Any] = {}
        self.status = Status(0, 0, 0, 0, 0, None)
        self.seed = b""
        self.now = 0

    def read(self, body: bytes) -> None:
        """Reads a status document. Many people get the same one."""
        if body == self.body:
            return
        self.body, self.document = body, orjson.loads(body)
        self.status, self.now = Status.of(self.document), self.document["now"]
        self.seed = bytes.fromhex(self.document["seed"] or "")

    @property
    def over(self) -> bool:
        """Whether no unit is left, or every person was called and has bought or let their time pass."""
        document = self.document
        if not document or not document["called"]:
            return False
        left, called_all = document["free"] + document["held"], document["called"] >= document["entered"]
        return not left or (called_all and not document["claims"] and not document["held"])


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def identity(person: int) -> dict[str, str]:
    """The raw values of a person, by axis."""
    return {"phone": f"0812{person:08d}", "email": f"b{person}@example.com", "payment": f"card-{person}"}


class Crowd:
    """All people, in columns: the position in each list is the person. Zero or an empty text: not yet."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lines = [Line(plan.sale, code, key) for code, key in plan.lines]
        count, chance = plan.people, random.Random(1)
        self.random = chance.random
        self.shows_up = bytes(chance.random() >= plan.no_shows for _ in range(count))
        self.tokens = [b""] * count
        self.indexes, self.numbers, self.heard = [0] * count, [0] * count, [0] * count
        self.offsets, self.claim_ends = [0] * count, [0] * count
        self.reservations, self.references = [""] * count, [""] * count
        self.ends = [""] * count
        # What a page knows: the last status time, and when it came. Failures of polls in a row.
        self.seen, self.seen_at = [0] * count, [0] * count
        self.failures: dict[int, int] = {}
        self.answers: Counter[str] = Counter()
        self.by_second: dict[str, Counter[int]] = {"polls": Counter(), "reserved": Counter(), "paid": Counter()}
        self.busy = self.answered_entries = self._next = 0
        self.late_ms = self.oldest_ms = 0
        self.last_paid_ms = 0
        self.heap: list[int] = []
        self.links = Links(plan.door_port, plan.entering)
        self.status_links = Links(plan.status_port, STATUS_LINKS)

    def line_of(self, person: int) -> Line:
        """The line in which a person stands."""
        return self.lines[person % len(self.lines)]

    # Entering.

    async def enter(self) -> None:
        """Lets all people enter, with some requests at a time."""
        deadline = time.monotonic() + self.plan.enter_s
        for _ in range(min(self.plan.entering, self.plan.people)):
            self._enter_next()
        shown = time.monotonic()
        while self.answered_entries < self.plan.people and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            if time.monotonic() > shown + PROGRESS_S:
                shown = time.monotonic()
                tell({"progress": f"{self.answered_entries:,} people have entered ..."})
        self.links.close()

    def _enter_next(self) -> None:
        person, self._next = self._next, self._next + 1
        if person < self.plan.people:
            body = orjson.dumps({"identity": identity(person)})
            self.post(self.line_of(person).heads["enter"], body, person, self._entered)

    def _entered(self, person: int, status: int, body: bytes) -> None:
        self.answered_entries += 1
        self.answers[f"enter {status}"] += 1
        if status in {200, 201}:
            answer = orjson.loads(body)
            self.tokens[person], self.indexes[person] = answer["place"].encode(), answer["index"]
        self._enter_next()

    # Polling.

    async def wait_and_buy(self) -> bool:
        """Lets all people poll and buy. Returns whether the lines are over; False when the time is."""
        plan, heap = self.plan, self.heap
        self.links = Links(plan.door_port, BUYER_LINKS)
        began, deadline, shown = now_ms(), time.monotonic() + plan.sale_s, time.monotonic()
        heap.extend(
            (began + round(self.random() * plan.load_ms)) << PERSON_BITS | person
            for person in range(plan.people)
            if self.tokens[person]
        )
        heapq.heapify(heap)
        over = False
        while not over and time.monotonic() < deadline:
            if not self._poll_due():
                await asyncio.sleep(LOOP_S)
                over = not self.busy and all(line.over for line in self.lines)
            else:
                await asyncio.sleep(0)
            if time.monotonic() > shown + PROGRESS_S:
                shown = time.monotonic()
                tell({"progress": self._progress()})
        self.links.close()
        self.status_links.close()
        return over

    def _poll_due(self) -> bool:
        """Sends some of the polls that are due. Returns whether there may be more."""
        heap, lines, now = self.heap, self.lines, now_ms()
        until, count = (now + 1) << PERSON_BITS, len(lines)
        for _ in range(POLLS_AT_ONCE):
            if not heap or heap[0] >= until:
                return False
            at = heapq.heappop(heap)
            person = at & (1 << PERSON_BITS) - 1
            self.late_ms = max(self.late_ms, now - (at >> PERSON_BITS))
            self.status_links.ask(lines[person % count].status_request, person, self._polled)
        return True

    def _polled(self, person: int, status: int, head: bytes, body: bytes) -> None:
        now = now_ms()
        self.by_second["polls"][now // 1000] += 1
        line = self.lines[person % len(self.lines)]
        if status != 200:
            self.answers[f"status {status}"] += 1
            self._poll_again(person, now, retry_after_s(head))
            return
        self.failures.pop(person, None)
        line.read(body)
        if line.now > line.status.opens_at:
            self.oldest_ms = max(self.oldest_ms, now - line.now)
        if line.now > self.seen[person]:
            self.seen[person], self.seen_at[person] = line.now, now
        number = self.numbers[person]
        if not number and line.seed:
            number = lottery.number(self.indexes[person], line.document["cohort"], line.seed)
            self.numbers[person] = number
        waiting = not self.heard[person]
        if waiting and number and number <= line.status.called:
            waiting = False
            self.heard[person] = now
            self._look(person)
        if not self.references[person]:
            known_now = self.seen[person] + now - self.seen_at[person]
            wait = next_poll_ms(
                line.status, now=known_now, number=number or None, waiting=waiting, random=self.random()
            )
            heapq.heappush(self.heap, (now + wait) << PERSON_BITS | person)

    def _poll_again(self, person: int, now: int, after_s: float) -> None:
        failures = self.failures[person] = min(FAILURES_MAX, self.failures.get(person, 0) + 1)
        wait = pause_ms(min(STATUS_FAILED_MS_MAX, 1000 * 2**failures), after_s, self.random())
        heapq.heappush(self.heap, (now + wait) << PERSON_BITS | person)

    def _progress(self) -> str:
        documents = [line.document for line in self.lines if line.document]
        called, sold = (sum(document[name] for document in documents) for name in ("called", "sold"))
        second = now_ms() // 1000 - 1
        polls, paid = self.by_second["polls"][second], self.by_second["paid"].total()
        return f"{called:,} called, {paid:,} paid, {sold:,} sold, {self.busy} at it; {polls:,} polls in a second ..."

    # Buying.

    def _look(self, person: int) -> None:
        self.busy += 1
        line = self.line_of(person)
        self.post(line.heads["look"], b'{"place":"%s"}' % self.tokens[person], person, self._looked)

    def _looked(self, person: int, status: int, body: bytes) -> None:
        answer = orjson.loads(body)
        if status != 200 or answer["state"] != "called":
            self._end(person, f"look {answer.get('state') or answer.get('code')}")
            return
        self.offsets[person], self.claim_ends[person] = now_ms() - answer["now"], answer["claim_ends"]
        if not self.shows_up[person]:
            self._end(person, "did not come")
            return
        self._reserve(person)

    def _reserve(self, person: int) -> None:
        body = orjson.dumps({"place": self.tokens[person].decode(), "items": [{"sku": self.plan.sku, "quantity": 1}]})
        head = f"{self.line_of(person).heads['reserve']}Idempotency-Key: r-{person}\r\n"
        self.post(head, body, person, self._reserved)

    def _reserved(self, person: int, status: int, body: bytes) -> None:
        answer = orjson.loads(body)
        if status != 201:
            self._end(person, f"reserve {answer.get('code')}")
            return
        self._note_held(person, answer["reservation"], answer["amount"], now_ms())
        self._confirm(person, answer["amount"])

    def _note_held(self, person: int, reservation: str, amount: int, at: int) -> None:  # noqa: ARG002 - for a subclass
        self.by_second["reserved"][at // 1000] += 1
        self.reservations[person] = reservation

    def _confirm(self, person: int, amount: int) -> None:
        who = identity(person)
        contact = {"name": "B", "address": "Jl. Mawar 1", "phone": who["phone"], "email": who["email"]}
        pay = {"identity": who, "contact": contact, "price": amount, **self.payment(person)}
        head = f"POST /v1/reservations/{self.reservations[person]}/confirm{self.line_of(person).confirm}"
        self.post(f"{head}Idempotency-Key: c-{person}\r\n", orjson.dumps(pay), person, self._paid)

    def payment(self, person: int) -> dict[str, str]:
        """How a person pays."""
        return {"method": "card", "instrument": f"i-{person}"}

    def _paid(self, person: int, status: int, body: bytes) -> None:
        answer = orjson.loads(body)
        if status != 200 or answer["state"] != "confirmed":
            self._end(person, f"confirm {answer.get('code') or answer.get('state')}")
            return
        self._note_paid(person, answer["payment"]["reference"], now_ms())
        self._end(person, "paid")

    def _note_paid(self, person: int, reference: str, at: int) -> None:
        self.last_paid_ms = max(self.last_paid_ms, at)
        self.by_second["paid"][at // 1000] += 1
        self.references[person] = reference

    def _end(self, person: int, answer: str) -> None:
        self.busy -= 1
        self.ends[person] = answer
        self.answers[answer] += 1

    # Sending.

    def post(self, head: str, body: bytes, person: int, then: Callable[[int, int, bytes], None]) -> None:
        """Sends a request until it is answered, as the page does, always with the same key."""
        self._send(head, body, person, then, 0)

    def message(self, head: str, body: bytes) -> bytes:
        """The bytes of a request. They are made anew for each try."""
        return f"{head}{CONTENT}{len(body)}\r\n\r\n".encode() + body

    def _send(
        self, head: str, body: bytes, person: int, then: Callable[[int, int, bytes], None], failures: int
    ) -> None:
        def answered(person: int, status: int, answer_head: bytes, answer: bytes) -> None:
            if status == 202:
                self.answers["preparing"] += 1
                wait = 1000 * retry_after_s(answer_head)
            elif self.is_worth_another_try(status, answer):
                self.answers[f"again after {status} {code_of(answer)}".rstrip()] += 1
                wait = pause_ms(min(AGAIN_MS_MAX, 1000 * 2**failures), retry_after_s(answer_head), self.random())
            else:
                then(person, status, answer)
                return
            loop = asyncio.get_running_loop()
            loop.call_later(wait / 1000, self._send, head, body, person, then, failures + 1)

        self.links.ask(self.message(head, body), person, answered)

    def is_worth_another_try(self, status: int, answer: bytes) -> bool:  # noqa: ARG002 - for a subclass
        """Whether the same request is sent again after this answer; status 0 is none."""
        return status in {0, 429} or status >= 500

    def ledger(self, *, over: bool) -> dict[str, Any]:
        """What the crowd knows."""
        columns = (
            "indexes", "numbers", "heard", "offsets", "claim_ends", "reservations", "references", "ends", "answers",
            "late_ms", "oldest_ms", "last_paid_ms", "busy",
        )  # fmt: skip
        seconds = {name: sorted(counts.items()) for name, counts in self.by_second.items()}
        return {name: getattr(self, name) for name in columns} | {"by_second": seconds, "over": over}


def code_of(body: bytes) -> str:
    """The code of a refusal; empty if the answer is no problem document."""
    try:
        return str(orjson.loads(body).get("code", ""))
    except orjson.JSONDecodeError:
        return ""


def pause_ms(ms: int, after_s: float, chance: float) -> int:
    """As `pause` in line.js."""
    return round(max(ms * (0.8 + 0.4 * chance), 1000 * after_s * (1 + chance / 5)))


def tell(message: dict[str, Any]) -> None:
    """Prints one line of JSON."""
    sys.stdout.write(orjson.dumps(message).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Runs the crowd of the plan, and writes its ledger."""
    plan = Plan(**orjson.loads(Path(sys.argv[1]).read_bytes()))
    holder: list[Crowd] = []

    async def enter() -> None:
        holder.append(Crowd(plan))
        await holder[0].enter()

    began = time.perf_counter()
    uvloop.run(enter())
    (crowd,) = holder
    tell({"entered": sum(map(bool, crowd.indexes)), "seconds": time.perf_counter() - began})
    if not sys.stdin.readline():
        return
    over = uvloop.run(crowd.wait_and_buy())
    Path(sys.argv[2]).write_bytes(orjson.dumps(crowd.ledger(over=over), option=orjson.OPT_NON_STR_KEYS))
    tell({"over": over})


if __name__ == "__main__":
    main()
