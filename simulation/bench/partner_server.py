"""One server of a partner with many shoppers: `python -m simulation.bench.partner_server PLAN LEDGER`, a process.

A crowd (sale_crowd.py) whose people do not poll. Their server enters them in bundles, reads the status once a second
for all, computes their numbers, reserves for those who are called, and confirms with the method "partner". One of the
servers also follows the feed of events. Each server writes down what it learns before it goes on. When it is killed,
another process with the same plan reads this journal and goes on with the same keys.

1. All shoppers enter who have no place. Prints `{"entered": …}` and waits for a line on its standard input.
2. Sells until the line is over or the time is. Prints `{"over": …}` and waits for a line.
3. Reads the rest of the feed and writes its ledger. Prints `{"done": …}`.

Progress is printed as `{"progress": …}`. Shopper n belongs to server n modulo the count of servers.
"""

import asyncio
import os
import re
import secrets
import signal
import sys
import time
from collections import Counter, deque
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
import uvloop

from flashsale.rules import lottery
from flashsale.rules.signing import NONCE, SIGNATURE, TIMESTAMP, SignedRequest, signature_of
from simulation.bench.links import Links, retry_after_s
from simulation.bench.sale_crowd import (
    AGAIN_MS_MAX,
    BUYER_LINKS,
    Crowd,
    Plan,
    code_of,
    identity,
    now_ms,
    pause_ms,
    tell,
)

BUNDLE = 100
STATUS_S = EVENTS_S = 1.0
EVENTS_LIMIT = 1000
PROGRESS_S, LOOP_S = 0.25, 0.02
KEY_HEADER = re.compile(r"\r\nIdempotency-Key: ([^\r]+)\r\n")


class PartnerPlan(NamedTuple):
    """What a server is told. An empty `secret`: it does not sign. `events_port` 0: it does not follow the feed.

    When `dies_after` of its orders are paid, it dies with the next answer to a reservation, before it has written this
    down. 0: it lives.
    """

    crowd: Plan
    number: int
    servers: int
    secret: str
    events_port: int
    journal: str
    dies_after: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """The plan in a file."""
        members = orjson.loads(path.read_bytes())
        return cls(**members | {"crowd": Plan(**members["crowd"])})

    def write(self, path: Path) -> None:
        """Stores the plan in a file."""
        path.write_bytes(orjson.dumps(self._asdict() | {"crowd": self.crowd._asdict()}))


class FeedEvent(NamedTuple):
    """An event of a reservation in the feed; `payment` is empty if it is of no payment. Times in ms since 1970."""

    id: str
    type: str
    reservation: str
    sequence: int
    payment: str
    at: int
    heard: int


class Journal:
    """What a server has learned, one JSON list a line. A line is in the file before the server goes on."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        whole, _, cut = path.read_bytes().rpartition(b"\n")
        if cut:  # the process died while it wrote the last line
            os.ftruncate(self._file, len(whole) + 1 if whole else 0)
        self.old = [orjson.loads(line) for line in whole.splitlines()]

    def write(self, *row: Any) -> None:
        """Appends a line. The page cache of the system keeps it when the process is killed."""
        os.write(self._file, orjson.dumps(row) + b"\n")


class PartnerServer(Crowd):
    """The shoppers of one server, in the columns of the crowd; those of other servers stay empty."""

    def __init__(self, plan: PartnerPlan) -> None:
        super().__init__(plan.crowd)
        self.partner = plan
        self.mine = range(plan.number, plan.crowd.people, plan.servers)
        self.amounts: dict[int, int] = {}
        self.counts: Counter[str] = Counter()
        self.by_second |= {name: Counter() for name in ("entered", "events", "event pages", "status")}
        # Mine by number, once the numbers are known; the first `_passed` of them were called.
        self.order: list[tuple[int, int]] = []
        self._passed = self._bundles_open = 0
        self._to_enter: deque[int] = deque()
        self.after, self.seen_ids = "", set[str]()
        self.feed: list[FeedEvent] = []
        self.journal = Journal(Path(plan.journal))
        self.status_links, self.event_links = Links(plan.crowd.status_port, 1), Links(plan.events_port, 1)
        self._restore()

    def _restore(self) -> None:
        """What the journal of the server says that was killed."""
        for kind, *row in self.journal.old:
            match kind:
                case "entered":
                    self._take_places(*row)
                case "called":
                    at, people = row
                    for person in people:
                        self.heard[person] = at
                case "held":
                    super()._note_held(*row)
                    self.amounts[row[0]] = row[2]
                case "paid":
                    super()._note_paid(*row)
                case "end":
                    self.ends[row[0]] = row[1]
                    self.answers[row[1]] += 1
                case "events":
                    self._take_events(*row)
        self.journal.old.clear()

    # Sending.

    def message(self, head: str, body: bytes) -> bytes:
        """Signs each try with a nonce of its own."""
        method, target, _ = head.split(" ", 2)
        self.counts[f"{target.rsplit('/', 1)[1]} calls"] += 1
        if self.partner.secret:
            key = KEY_HEADER.search(head)
            request = SignedRequest(
                method, target, body, key[1] if key else "", "", str(int(time.time())), secrets.token_urlsafe(24)
            )
            signature = signature_of(self.partner.secret, request)
            head += f"{TIMESTAMP}: {request.timestamp}\r\n{NONCE}: {request.nonce}\r\n{SIGNATURE}: {signature}\r\n"
        return super().message(head, body)

    def is_worth_another_try(self, status: int, answer: bytes) -> bool:
        """Also after nonce_reused: a connection ended before the answer, and its request was sent again."""
        return super().is_worth_another_try(status, answer) or (status == 409 and code_of(answer) == "nonce_reused")

    async def _get(self, links: Links, request: bytes) -> tuple[int, bytes, bytes]:
        answered = asyncio.get_running_loop().create_future()
        links.ask(request, 0, lambda _, *answer: answered.set_result(answer))
        status, head, body = await answered
        return status, head, body

    # Entering.

    async def enter(self) -> None:
        """Lets all enter who have no place, with some bundles at a time."""
        deadline = time.monotonic() + self.plan.enter_s
        self._to_enter.extend(person for person in self.mine if not self.tokens[person])
        while (self._to_enter or self._bundles_open) and time.monotonic() < deadline:
            while self._to_enter and self._bundles_open < self.plan.entering:
                self._enter_bundle()
            await asyncio.sleep(LOOP_S / 10)
        self.links.close()

    def _enter_bundle(self) -> None:
        people = [self._to_enter.popleft() for _ in range(min(BUNDLE, len(self._to_enter)))]
        self._bundles_open += 1
        body = orjson.dumps({"items": [{"identity": identity(person)} for person in people]})

        def answered(_: int, status: int, body: bytes) -> None:
            self._bundles_open -= 1
            if status == 200:
                self._entered_together(people, orjson.loads(body)["items"])
            else:
                self.answers[f"enter-bundle {status} {code_of(body)}"] += 1

        self.post(self.lines[0].heads["enter-bundle"], body, people[0], answered)

    def _entered_together(self, people: list[int], items: list[dict[str, Any]]) -> None:
        places, again, wait_s = [], [], 0
        for person, item in zip(people, items, strict=True):
            if item["status"] in {200, 201}:
                places.append((person, item["answer"]["index"], item["answer"]["place"]))
            elif item["status"] == 429 or item["status"] >= 500:
                self.answers[f"again after {item['status']} {item['problem']['code']}"] += 1
                wait_s = max(wait_s, item["problem"].get("retry_after_s") or 1)
                again.append(person)
            else:
                self.answers[f"enter {item['problem']['code']}"] += 1
        if places:
            at = now_ms()
            self.journal.write("entered", at, places)
            self._take_places(at, places)
        if again:
            self._bundles_open += 1
            asyncio.get_running_loop().call_later(wait_s * (1 + self.random() / 5), self._enter_later, again)

    def _enter_later(self, people: list[int]) -> None:
        self._bundles_open -= 1
        self._to_enter.extend(people)

    def _take_places(self, at: int, places: list[tuple[int, int, str]]) -> None:
        self.by_second["entered"][at // 1000] += len(places)
        for person, index, token in places:
            self.indexes[person], self.tokens[person] = index, token.encode()

    # Selling.

    async def sell(self) -> bool:
        """Buys for all who are called. Returns whether the line is over; False when the time is."""
        self.links = Links(self.plan.door_port, BUYER_LINKS)
        deadline = time.monotonic() + self.plan.sale_s
        tasks = [asyncio.create_task(one) for one in (self._read_statuses(), self._follow())]
        for person in self.mine:
            if self.heard[person] and not self.ends[person]:
                self.counts["taken over"] += 1
                self._buy(person)
        line, over, told = self.lines[0], False, 0.0
        while not over and time.monotonic() < deadline:
            await asyncio.sleep(LOOP_S)
            over = line.over and not self.busy
            if any(task.done() for task in tasks):
                break  # an error, which `gather` raises
            if over or time.monotonic() > told + PROGRESS_S:
                told = time.monotonic()
                tell({
                    "progress": self._progress(), "paid": self.by_second["paid"].total(), "at": now_ms(),
                    "counts": self.counts, "answers": self.answers,
                })  # fmt: skip
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for links in (self.links, self.status_links, self.event_links):
            links.close()
        for result in results:
            if not isinstance(result, asyncio.CancelledError | None):
                raise result
        return over

    async def _read_statuses(self) -> None:
        line = self.lines[0]
        while True:
            status, head, body = await self._get(self.status_links, line.status_request)
            now = now_ms()
            self.counts["status calls"] += 1
            self.counts["status bytes"] += len(head) + 4 + len(body)
            self.by_second["status"][now // 1000] += 1
            if status == 200:
                line.read(body)
                if line.now > line.status.opens_at:
                    self.oldest_ms = max(self.oldest_ms, now - line.now)
                self._hear_calls(now)
            else:
                self.answers[f"status {status}"] += 1
            await asyncio.sleep(max(retry_after_s(head), STATUS_S - (now_ms() - now) / 1000))

    def _hear_calls(self, now: int) -> None:
        line = self.lines[0]
        if line.seed and not self.order:
            for person in self.mine:
                if self.tokens[person]:
                    self.numbers[person] = lottery.number(self.indexes[person], line.document["cohort"], line.seed)
            self.order = sorted((self.numbers[person], person) for person in self.mine if self.tokens[person])
        first = self._passed
        while self._passed < len(self.order) and self.order[self._passed][0] <= line.status.called:
            self._passed += 1
        called = [person for _, person in self.order[first : self._passed] if not self.heard[person]]
        if called:
            self.journal.write("called", now, called)
        for person in called:
            self.heard[person] = now
            self._buy(person)

    def _buy(self, person: int) -> None:
        """Goes on where the shopper is. The keys follow from the shopper, so no request has an effect twice."""
        self.busy += 1
        if self.references[person]:
            self._end(person, "paid")
        elif self.reservations[person]:
            self._confirm(person, self.amounts[person])
        elif self.shows_up[person]:
            self._reserve(person)
        else:
            self._end(person, "did not come")

    def _progress(self) -> str:
        document, paid = self.lines[0].document, self.by_second["paid"].total()
        called, sold = document.get("called", 0), document.get("sold", 0)
        return f"{called:,} called, {sold:,} sold; server {self.partner.number} has paid {paid:,} ..."

    def payment(self, person: int) -> dict[str, str]:
        """The partner has charged the shopper, and has a reference of its own for this."""
        return {"method": "partner", "instrument": f"P-{person}"}

    def _note_held(self, person: int, reservation: str, amount: int, at: int) -> None:
        if 0 < self.partner.dies_after <= self.by_second["paid"].total():
            os.kill(os.getpid(), signal.SIGKILL)
        self.journal.write("held", person, reservation, amount, at)
        super()._note_held(person, reservation, amount, at)

    def _note_paid(self, person: int, reference: str, at: int) -> None:
        self.journal.write("paid", person, reference, at)
        super()._note_paid(person, reference, at)

    def _end(self, person: int, answer: str) -> None:
        self.journal.write("end", person, answer)
        super()._end(person, answer)

    # Events.

    async def _follow(self) -> None:
        """Reads the feed while the sale runs: the next page at once if there is more, otherwise once a second."""
        while True:
            await self.read_events()
            await asyncio.sleep(EVENTS_S)

    async def read_events(self) -> None:
        """Reads the feed to its end, if this server follows it."""
        more, failures = bool(self.partner.events_port), 0
        while more:
            query = f"limit={EVENTS_LIMIT}" + (f"&after={self.after}" if self.after else "")
            request = f"GET /v1/events?{query}{self.lines[0].confirm}\r\n".encode()
            status, head, body = await self._get(self.event_links, request)
            now = now_ms()
            self.counts["event calls"] += 1
            self.by_second["event pages"][now // 1000] += 1
            if status != 200:
                self.answers[f"again after {status} {code_of(body)}".rstrip()] += 1
                failures += 1
                pause = pause_ms(min(AGAIN_MS_MAX, 500 * 2**failures), retry_after_s(head), self.random())
                await asyncio.sleep(pause / 1000)
                continue
            page = orjson.loads(body)
            failures, more = 0, page["more"]
            self.counts["event bytes"] += len(head) + 4 + len(body)
            events = [
                FeedEvent(
                    one["id"], one["type"], one["reservation"], one["sequence"], one["data"].get("payment", ""),
                    round(datetime.fromisoformat(one["at"]).timestamp() * 1000), now,
                )
                for one in page["results"] if one["reservation"]
            ]  # fmt: skip
            # The cursor and what it stands behind are one line, so a successor misses nothing and has nothing twice.
            self.journal.write("events", page["after"], [tuple(event) for event in events])
            self._take_events(page["after"], events)

    def _take_events(self, after: str, events: list[Any]) -> None:
        self.after = after
        for event in (FeedEvent(*one) for one in events):
            if event.id not in self.seen_ids:
                self.seen_ids.add(event.id)
                self.feed.append(event)
                self.by_second["events"][event.heard // 1000] += 1

    def ledger(self, *, over: bool) -> dict[str, Any]:
        """What the server knows."""
        own = {"counts": self.counts, "feed": [tuple(event) for event in self.feed]}
        return super().ledger(over=over) | own


async def serve(plan: PartnerPlan) -> bytes:
    """Enters, sells and reads events, as the file says. Returns the ledger as JSON; nothing if it is not asked for."""
    server, began = PartnerServer(plan), time.perf_counter()
    await server.enter()
    tell({"entered": sum(map(bool, server.indexes)), "seconds": time.perf_counter() - began})
    if not await asyncio.to_thread(sys.stdin.readline):
        return b""
    over = await server.sell()
    tell({"over": over})
    if not await asyncio.to_thread(sys.stdin.readline):
        return b""
    server.event_links = Links(plan.events_port, 1)
    await server.read_events()
    return orjson.dumps(server.ledger(over=over), option=orjson.OPT_NON_STR_KEYS)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(uvloop.run(serve(PartnerPlan.read(Path(sys.argv[1])))))
    tell({"done": True})
