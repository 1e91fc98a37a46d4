"""Measures a sale as a partner with many shoppers has it: all of them stand behind two of its servers.

The servers are processes of their own (partner_server.py). One of them dies when half of its orders are paid, and
another process goes on from its journal. At the end these must agree order by order: what the servers wrote down, the
feed of events, the settlement, PostgreSQL and Redis. Every promise is audited.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
from django.conf import settings
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import SaleCard
from flashsale.life import settlement
from flashsale.life.audit import Verdict, audit
from flashsale.rules.quotas import DEFAULTS, QuotaClass
from simulation import fetch
from simulation.bench import doors, fixtures, partner_ledger, sale_crowd, sale_ledger
from simulation.bench.figures import Figure, at_least, at_most
from simulation.bench.partner_server import BUNDLE, PartnerPlan
from simulation.bench.sale_ledger import Ledger
from simulation.bench.whole_sale import (
    ENTERS_PER_S_MIN,
    GOAL_S,
    KNOWN_MS,
    SALE_S_MAX,
    Terms,
    cpu_of,
    highest,
    spent,
    wait_until_settled,
)
from simulation.isolated_servers import IsolatedServers
from simulation.servers import HOST

CHANNEL = "channel-1"
SERVERS, KILLED, LIVING = 2, 0, 1
# So many bundles of each server are on their way at once.
BUNDLES_AT_ONCE = 8
PAID_BEFORE_KILL = 0.5
# A supervisor needs a moment to see that a process is gone.
RESTART_S = 1.0
LOOP_S, SHOWN_S, STOP_S = 0.02, 10.0, 120.0


class Kill(NamedTuple):
    """A server died when `paid` orders were paid. It was back after `away_s`. `lost` is what it said last."""

    paid: int
    away_s: float
    lost: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A sale that is over. `ledger` is the one of all servers together."""

    card: SaleCard
    terms: Terms
    ledger: Ledger
    entered_s: float
    entering_cpu: Mapping[str, float]
    selling_cpu: Mapping[str, float]
    kill: Kill
    ends: Sequence[Survey]
    settled: Sequence[Mapping[str, Any]]


class Server:
    """The process of one of the partner's servers, and what it has said."""

    def __init__(self, plan: PartnerPlan, folder: Path) -> None:
        self.plan = plan
        self._files = [folder / f"{name}-{plan.number}.json" for name in ("plan", "ledger")]
        self.said: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Starts the process, also in the place of one that has ended."""
        self.plan.write(self._files[0])
        command = [sys.executable, "-m", "simulation.bench.partner_server", *map(str, self._files)]
        self.said = {"counts": {}, "answers": {}, "paid": 0}
        self._process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said |= orjson.loads(line)

    def kill(self) -> None:
        """Ends the process as a crash does."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def go_on(self) -> None:
        """Tells the process to begin its next part."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, and all that it said is read."""
        return not self._reader.is_alive()

    def has_said(self, name: str) -> bool:
        """Whether this message has come. Raises FixtureError if it cannot come any more."""
        if self.has_ended and name not in self.said:
            raise fixtures.FixtureError(f"a partner's server ended before it said {name!r}; its error is printed above")
        return name in self.said

    def hear(self, name: str, *, seconds: float) -> Any:
        """Waits for this message. Raises FixtureError when the time is over."""
        deadline = time.monotonic() + seconds
        while not self.has_said(name):
            if time.monotonic() > deadline:
                raise fixtures.FixtureError(f"a partner's server did not say {name!r} in {seconds:.0f} s")
            time.sleep(LOOP_S)
        return self.said[name]

    @property
    def ledger(self) -> dict[str, Any]:
        """The ledger that the process has written."""
        found: dict[str, Any] = orjson.loads(self._files[1].read_bytes())
        return found


def rehearsal(
    servers: IsolatedServers, terms: Terms, show_progress: Callable[[str], None], *, signed: bool
) -> list[Figure]:
    """Runs the sale, compares all that was written down about it, and audits every promise."""
    show_progress(terms.text())
    done = run(servers, terms, show_progress, signed=signed)
    found = partner_ledger.differences(done.card, done.ledger, done.settled)
    broken = [finding for finding in audit(campaign=done.card.campaign_code) if finding.verdict is Verdict.BROKEN]
    broken_text = "; ".join(f"{one.title}: {sale_ledger.in_short(one.broken)}" for one in broken)
    group = (
        f"a partner with {terms.people:,} shoppers and {terms.units:,} units; {SERVERS} servers of its own, requests "
        + ("signed" if signed else "not signed")
    )
    return [
        *_entering(group, done),
        *_selling(group, done),
        *_hearing(group, done),
        *_quotas(group, done),
        at_most(group, "promises broken", len(broken), unit="", limit=0, note=broken_text),
        at_most(group, "differences of servers, events, settlement, PostgreSQL, Redis", len(found), unit="", limit=0,
                note=sale_ledger.in_short(found)),
    ]  # fmt: skip


def run(
    servers: IsolatedServers,
    terms: Terms,
    show_progress: Callable[[str], None],
    *,
    signed: bool = False,
    workers: int = doors.WORKERS,
) -> Rehearsed:
    """Runs the sale until the line is over, or the time is. `workers` are processes of the door, and of the REST API.

    Raises FixtureError, ServerNotReady.
    """
    where = fixtures.campaign([CHANNEL], payment_accounts="partner", signatures_required=signed)
    card = fixtures.sale(
        where, units={CHANNEL: terms.units}, max_entries=terms.people,
        claim_s=terms.claim_s, hold_s=terms.hold_s, rate_per_s=terms.rate_per_s,
    )  # fmt: skip
    key, secret = fixtures.signing_key_of(where, CHANNEL)
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="partner-", dir=settings.VAR_DIR))
    with ExitStack() as stack:
        door = stack.enter_context(doors.doors(servers, workers=workers))
        web = stack.enter_context(doors.web(servers, workers=workers))
        pids = {"doors": door.process.pid, "REST API": web.process.pid, "Redis": servers.redis.pid}
        if servers.postgres:
            pids["PostgreSQL"] = servers.postgres.pid
        crowd = sale_crowd.Plan(
            door.port, door.port, card.code, fixtures.SKU, [(CHANNEL, key)], terms.people, terms.no_shows,
            BUNDLES_AT_ONCE, 0, 60 + terms.people / ENTERS_PER_S_MIN, SALE_S_MAX,
        )  # fmt: skip
        dies_after = max(1, round(PAID_BEFORE_KILL * min(terms.units, terms.people) / SERVERS))
        before = cpu_of(pids)
        partner = [
            # The server that is killed is the one that follows the feed.
            stack.enter_context(Server(
                PartnerPlan(crowd, number, SERVERS, secret if signed else "", web.port if number == KILLED else 0,
                            str(folder / f"journal-{number}"), dies_after if number == KILLED else 0), folder,
            ))
            for number in range(SERVERS)
        ]  # fmt: skip
        for server in partner:
            server.hear("entered", seconds=crowd.enter_s + STOP_S)
        entered_s = max(server.said["seconds"] for server in partner)
        show_progress(f"{terms.people:,} shoppers have entered ...")
        between = cpu_of(pids)
        card = bridge.run(fixtures.open_in(card, ms=KNOWN_MS))
        for server in partner:
            server.go_on()
        kill = _sell(partner, show_progress)
        after, ends = cpu_of(pids), wait_until_settled(card)
        for server in partner:
            server.go_on()
            server.hear("done", seconds=STOP_S)
        settled = _settlement(web.port, key, card)
    ledger = partner_ledger.together([server.ledger for server in partner], kill.lost)
    return Rehearsed(card, terms, ledger, entered_s, spent(before, between), spent(between, after), kill, ends, settled)


def _sell(partner: Sequence[Server], show_progress: Callable[[str], None]) -> Kill:
    """Waits until all servers say that the line is over. Replaces the one that dies."""
    kill, shown, deadline = Kill(0, 0.0, {}), time.monotonic(), time.monotonic() + SALE_S_MAX + STOP_S
    over = False
    while not over:
        if time.monotonic() > deadline:
            raise fixtures.FixtureError(f"the sale was not over after {SALE_S_MAX + STOP_S:.0f} s")
        time.sleep(LOOP_S)
        if partner[KILLED].has_ended and partner[KILLED].plan.dies_after:
            kill = _replace(partner)
            show_progress(f"a server of the partner was killed; its successor went on after {kill.away_s:.1f} s ...")
        if time.monotonic() > shown + SHOWN_S:
            shown = time.monotonic()
            show_progress(partner[LIVING].said.get("progress", "..."))
        # The server that may still die is not expected to say anything.
        over = all("over" in one.said if one.plan.dies_after else one.has_said("over") for one in partner)
    return kill


def _replace(partner: Sequence[Server]) -> Kill:
    """Starts another process with the same journal in the place of the server that has died."""
    began, server = time.monotonic(), partner[KILLED]
    paid, lost = sum(one.said["paid"] for one in partner), server.said
    server.kill()
    server.plan = server.plan._replace(dies_after=0)
    time.sleep(RESTART_S)
    server.start()
    server.hear("entered", seconds=STOP_S)
    server.go_on()
    return Kill(paid, time.monotonic() - began, lost)


def _settlement(port: int, key: str, card: SaleCard) -> list[Mapping[str, Any]]:
    """The lines of all settlement files of the sale, as the partner reads them. They are made as if days had passed."""
    settlement.make_due(now=timezone.now() + timedelta(days=2))
    url, bearer = f"http://{HOST}:{port}/v1/settlements", f"Bearer {key}"
    files = fetch.document(f"{url}?sale={card.code}", Authorization=bearer)["results"]
    return [
        line
        for file in files
        for line in fetch.document(f"{url}/{card.code}/{file['date']}", Authorization=bearer)["lines"]
    ]


def _entering(group: str, done: Rehearsed) -> list[Figure]:
    counts, people = done.ledger["counts"], done.terms.people
    entered = sum(map(bool, done.ledger["indexes"]))
    calls, micros = counts["enter-bundle calls"], sum(done.entering_cpu.values()) / people * 1e6
    return [
        at_least(group, "shoppers with a place", entered, unit="", limit=people),
        Figure(group, f"entered in bundles of {BUNDLE}", entered / done.entered_s, "/s",
               note=f"{calls:,} calls in {done.entered_s:.1f} s"),
        Figure(group, "CPU of the servers, a shopper who enters", micros, "µs",
               note=_shares(done.entering_cpu, people)),
    ]  # fmt: skip


def _selling(group: str, done: Rehearsed) -> list[Figure]:
    ledger, terms, counts = done.ledger, done.terms, done.ledger["counts"]
    by_second, opened = ledger["by_second"], done.card.opens_at
    paid, usual = sum(map(bool, ledger["references"])), {"did not come", "paid"}
    refused = {answer: count for answer, count in sorted(ledger["answers"].items()) if answer not in usual}
    sold_s = max(0.001, max(by_second["reserved"], default=0) + 1 - opened / 1000)
    paid_s = max(0.001, (ledger["last_paid_ms"] - opened) / 1000)
    lags = sorted(event.heard - event.at for event in ledger["feed"]) or [0]
    lag = f"half of them within {lags[len(lags) // 2]:,} ms, the last after {lags[-1]:,} ms, with the server away"
    cpu, limit = sum(done.selling_cpu.values()), min(terms.units, terms.people)
    return [
        at_least(group, "units paid", paid, unit="", limit=limit),
        Figure(group, "from the opening to the last unit reserved", sold_s, "s"),
        at_most(group, "from the opening to the last unit paid", paid_s, unit="s", limit=GOAL_S, note=terms.text()),
        Figure(group, "refusals and requests sent again", sum(refused.values()), "", note=str(refused or "none")),
        *(_rate(group, name, by_second[name], paid_s) for name in ("reserved", "paid")),
        _rate(group, "events", by_second["events"], paid_s, note=f"; {lag}"),
        Figure(group, "status, all servers", counts["status bytes"], "bytes", note=f"{counts['status calls']:,} calls"),
        Figure(group, "feed of events", counts["event bytes"], "bytes", note=f"{counts['event calls']:,} calls"),
        Figure(group, "CPU of the servers from the opening on, a shopper", cpu / terms.people * 1e6, "µs",
               note=_shares(done.selling_cpu, terms.people)),
        Figure(group, "CPU of the servers, a paid unit", cpu / max(1, paid) * 1000, "ms"),
    ]  # fmt: skip


def _hearing(group: str, done: Rehearsed) -> list[Figure]:
    kill, claim_ms = done.kill, done.card.claim_ms
    stood_ms = max(end.wall - end.now for end in done.ends)
    killed, living = (
        sale_ledger.hearing(done.card, _shoppers_of(done.ledger, number), stood_ms=stood_ms)
        for number in (KILLED, LIVING)
    )
    note = f"{living.heard:,} calls, half of them within {living.half_ms:,} ms"
    taken_over = done.ledger["counts"]["taken over"]
    after = (
        f"shoppers of the killed server; it was away {kill.away_s:.1f} s, from {kill.paid:,} paid units on; "
        f"{taken_over:,} orders were under way"
    )
    return [
        at_most(group, "latest hearing of a call, of the claim window", living.latest_ms / claim_ms, unit="", limit=0.1,
                note=note),
        Figure(group, "the same, with a server that was killed", killed.latest_ms / claim_ms, "", note=after),
        at_most(group, "called, and did not hear", killed.unheard + living.unheard, unit="", limit=0),
        at_least(group, "servers killed", int(kill.away_s > 0), unit="", limit=1),
    ]  # fmt: skip


def _quotas(group: str, done: Rehearsed) -> list[Figure]:
    """The most calls in 60 seconds in a row, beside what a channel may make in a minute."""
    by_second = done.ledger["by_second"]
    used = {
        QuotaClass.ENTER: "entered", QuotaClass.RESERVE: "reserved", QuotaClass.PAY: "paid",
        QuotaClass.READ: "event pages",
    }  # fmt: skip
    return [
        at_most(group, f"quota {name}, calls in the busiest minute", 60 * highest(by_second[calls], seconds=60),
                unit="", limit=DEFAULTS[name])
        for name, calls in used.items()
    ]  # fmt: skip


def _shoppers_of(ledger: Ledger, number: int) -> Ledger:
    """The ledger with the numbers of one server's shoppers only."""
    numbers = [0] * len(ledger["numbers"])
    numbers[number::SERVERS] = ledger["numbers"][number::SERVERS]
    return {**ledger, "numbers": numbers}


def _rate(group: str, name: str, counts: Mapping[int, int], seconds: float, note: str = "") -> Figure:
    best = f"{sum(counts.values()):,} in all, best ten seconds {highest(counts, seconds=10):,.0f}/s"
    return Figure(group, f"{name}, mean", sum(counts.values()) / seconds, "/s", note=best + note)


def _shares(cpu: Mapping[str, float], people: int) -> str:
    return ", ".join(f"{name} {seconds / people * 1e6:.0f} µs" for name, seconds in cpu.items())
