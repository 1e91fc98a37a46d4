"""Measures a whole sale: all people enter, wait in lines, poll as pages do, and nine of ten called people buy and pay.

The crowd is a process of its own (sale_crowd.py) with a ledger of its own. Afterwards the ledger is compared with
PostgreSQL and Redis, and every promise is audited.
"""

import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from django.conf import settings

from flashsale.gate import bridge
from flashsale.gate.client import gate
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import SaleCard
from flashsale.life import status
from flashsale.life.audit import Verdict, audit
from flashsale.rules import polling
from simulation import nginx_server
from simulation.bench import doors, fixtures, sale_crowd, sale_ledger
from simulation.bench.cpu import cpu_seconds
from simulation.bench.figures import Figure, at_least, at_most
from simulation.bench.sale_ledger import Ledger
from simulation.isolated_servers import IsolatedServers

# The sale of 2021 was sold out after five minutes.
GOAL_S = 300
# A sale that takes longer is stopped.
SALE_S_MAX = 1200
# The shortest window with the promise that people hear of their turn within a tenth of it.
CLAIM_S = polling.CLAIM_MS_MIN // 1000
HOLD_S = 120
NO_SHOWS = 0.1
# The last units belong to people who do not come, then to others who do not come, and so on.
LAST_WINDOWS = 4
# A small sale need not take five minutes.
RATE_MIN = 25
ENTERING = 64
# The bench moves the opening when all people have entered. The doors and nginx show it after KNOWN_MS. Then all people
# load the page, so that every page knows the opening before it comes.
KNOWN_MS, LOADS_PER_S, SPARE_MS = 3_000, 20_000, 3_000
ENTERS_PER_S_MIN = 1_000
SETTLE_S = 15.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The sale: people, units and lines, the latency of the payment gateway, and the sale's settings."""

    people: int
    units: int
    lines: int = 4
    gateway_ms: int = 0
    claim_s: int = CLAIM_S
    hold_s: int = HOLD_S
    no_shows: float = NO_SHOWS

    @property
    def per_line(self) -> list[int]:
        """How many units each line has."""
        share, more = divmod(self.units, self.lines)
        return [share + (number < more) for number in range(self.lines)]

    @property
    def rate_per_s(self) -> int:
        """How many people a line calls in a second, so that its units are sold in GOAL_S."""
        first_ms = polling.first_call_delay_ms(people=self.people // self.lines, claim_ms=self.claim_s * 1000)
        calling_s = max(30, GOAL_S - first_ms / 1000 - LAST_WINDOWS * self.claim_s)
        return max(RATE_MIN, math.ceil(self.units / self.lines / (1 - self.no_shows) / calling_s))

    def text(self) -> str:
        """The settings, for the reader of the figures."""
        lines = "one line, which calls" if self.lines == 1 else f"{self.lines} lines, each calls"
        return (
            f"{lines} {self.rate_per_s} people a second; claim window {self.claim_s} s, hold "
            f"{self.hold_s} s, overbooking 1; {self.no_shows:.0%} do not come; gateway {self.gateway_ms} ms"
        )


@dataclass(frozen=True, slots=True)
class Sold:
    """A sale that is over, with CPU seconds by server while people entered, and from then on.

    `memory`: bytes of Redis when all people had entered, and when the sale was over.
    """

    card: SaleCard
    terms: Terms
    ledger: Ledger
    entered_s: float
    entering_cpu: Mapping[str, float]
    selling_cpu: Mapping[str, float]
    edge: str
    ends: Sequence[Survey]
    memory: tuple[int, int] = (0, 0)


def sale(servers: IsolatedServers, terms: Terms, show_progress: Callable[[str], None]) -> list[Figure]:
    """Runs the sale from the first entry to the last payment, compares the ledgers, and audits every promise."""
    show_progress(terms.text())
    sold = run(servers, terms, show_progress)
    show_progress("The ledger of the crowd is compared with PostgreSQL and Redis ...")
    found = sale_ledger.differences(sold.card, sold.ledger)
    broken = [finding for finding in audit(campaign=sold.card.campaign_code) if finding.verdict is Verdict.BROKEN]
    broken_text = "; ".join(f"{one.title}: {sale_ledger.in_short(one.broken)}" for one in broken)
    group = f"a sale of {terms.units:,} units to {terms.people:,} people"
    return [
        Figure(group, "entered", len(sold.ledger["indexes"]) / sold.entered_s, "/s", note=_share(sold.entering_cpu)),
        *_polls(group, sold),
        *_sales(group, sold),
        *costs(group, sold),
        at_most(group, "promises broken", len(broken), unit="", limit=0, note=broken_text),
        at_most(group, "differences of the ledgers", len(found), unit="", limit=0, note=sale_ledger.in_short(found)),
    ]


def _polls(group: str, sold: Sold) -> list[Figure]:
    ledger = sold.ledger
    polls = dict(ledger["by_second"]["polls"])
    opened, last = sold.card.opens_at // 1000, ledger["last_paid_ms"] // 1000
    open_s = [polls.get(second, 0) for second in range(opened, max(opened, last) + 1)]
    stood_ms = max(end.wall - end.now for end in sold.ends)
    heard = sale_ledger.hearing(sold.card, ledger, stood_ms=stood_ms)
    latest = heard.latest_ms / sold.card.claim_ms
    note = (
        f"{heard.heard:,} calls, half of them within {heard.half_ms:,} ms; the crowd was late by {ledger['late_ms']} ms"
    )
    if stood_ms:
        note += f"; the line's clock stood for {stood_ms} ms"
    return [
        Figure(group, "status requests, mean", sum(open_s) / len(open_s), "/s", note=sold.edge),
        Figure(group, "status requests, highest second", max(polls.values(), default=0), "/s"),
        at_most(group, "oldest status document", ledger["oldest_ms"] - stood_ms, unit="ms", limit=polling.STALE_MS),
        at_most(group, "latest hearing of a call, of the claim window", latest, unit="", limit=0.1, note=note),
        at_most(group, "called, and did not hear", heard.unheard, unit="", limit=0),
    ]  # fmt: skip


def _sales(group: str, sold: Sold) -> list[Figure]:
    ledger, terms = sold.ledger, sold.terms
    paid = sum(map(bool, ledger["references"]))
    opened, last_ms = sold.card.opens_at, ledger["last_paid_ms"]
    sold_s = max(0.001, (last_ms - opened) / 1000)
    usual = {"enter 201", "did not come", "paid"}
    others = {answer: count for answer, count in ledger["answers"].items() if answer not in usual}
    note = f"other answers: {others or 'none'}" + (f"; {ledger['busy']} requests open" if ledger["busy"] else "")
    figures = [
        at_most(group, "from the opening to the last paid unit", sold_s, unit="s", limit=GOAL_S, note=terms.text()),
        at_least(group, "units paid", paid, unit="", limit=min(terms.units, terms.people), note=note),
    ]
    for name in ("reserved", "paid"):
        counts = dict(ledger["by_second"][name])
        total, best = sum(counts.values()), highest(counts, seconds=10)
        figures.append(Figure(group, f"{name}, mean", total / sold_s, "/s", note=f"best ten seconds {best:,.0f}/s"))
    cpu = sum(sold.selling_cpu.values())
    figures.append(Figure(group, "CPU of all together, a paid unit", cpu / max(1, paid) * 1000, "ms"))
    figures += [
        Figure(group, f"CPU of {name}", 100 * seconds / sold_s, "% of a core", note=f"{seconds:.1f} s")
        for name, seconds in sold.selling_cpu.items()
    ]
    return figures


def costs(group: str, sold: Sold) -> list[Figure]:
    """What one unit of work has cost, for `manage.py capacity`."""
    people = len(sold.ledger["indexes"])
    paid = max(1, sum(map(bool, sold.ledger["references"])))
    asked = sum(count for _, count in sold.ledger["by_second"]["polls"])
    line = sold.card.lines[0]
    document = bridge.run(status.status(card=sold.card, line=line))
    found = [
        ("enter_door_us", "doors, a person who enters", sold.entering_cpu["doors"] / people * 1e6, "µs CPU"),
        ("enter_redis_us", "Redis, a person who enters", sold.entering_cpu["Redis"] / people * 1e6, "µs CPU"),
        ("order_door_us", "doors, a unit that is paid", sold.selling_cpu["doors"] / paid * 1e6, "µs CPU"),
        ("order_redis_us", "Redis, a unit that is paid", sold.selling_cpu["Redis"] / paid * 1e6, "µs CPU"),
        ("order_bytes", "Redis, a unit that is paid", max(1, sold.memory[1] - sold.memory[0]) / paid, "bytes"),
        ("status_bytes", "status document", len(orjson.dumps(document)), "bytes"),
    ]
    if "PostgreSQL" in sold.selling_cpu:
        spent_us = sold.selling_cpu["PostgreSQL"] / paid * 1e6
        found.append(("order_books_us", "PostgreSQL, a unit that is paid", spent_us, "µs CPU"))
    if "nginx" in sold.selling_cpu and asked:
        found.append(("status_edge_us", "nginx, a status", sold.selling_cpu["nginx"] / asked * 1e6, "µs CPU"))
    return [Figure(group, f"cost of {what}", value, unit, cost=cost) for cost, what, value, unit in found]


def highest(counts: Mapping[int, int], *, seconds: int) -> float:
    """The highest mean of so many seconds in a row."""
    return max((sum(counts.get(at + more, 0) for more in range(seconds)) / seconds for at in counts), default=0.0)


def _share(cpu: Mapping[str, float]) -> str:
    return "CPU " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in cpu.items())


def run(servers: IsolatedServers, terms: Terms, show_progress: Callable[[str], None]) -> Sold:
    """Runs the sale until the lines are over, or the time is. Raises FixtureError, ServerNotReady."""
    codes = [f"channel-{number}" for number in range(1, terms.lines + 1)]
    where = fixtures.campaign(codes)
    card = fixtures.sale(
        where, units=dict(zip(codes, terms.per_line, strict=True)), max_entries=terms.people,
        claim_s=terms.claim_s, hold_s=terms.hold_s, rate_per_s=terms.rate_per_s,
    )  # fmt: skip
    env = {
        "FLASHSALE_PAYMENT_PROVIDER": "simulation.bench.slow_bank.SlowBank",
        "FLASHSALE_BENCH_GATEWAY_MS": str(terms.gateway_ms),
    }
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="sale-", dir=settings.VAR_DIR))
    with ExitStack() as stack:
        door = stack.enter_context(doors.doors(servers, env))
        pids = {"doors": door.process.pid, "Redis": servers.redis.pid}
        if servers.postgres:
            pids["PostgreSQL"] = servers.postgres.pid
        nginx, status_port = nginx_server.find_program(), door.port
        if nginx:
            folder.chmod(0o711)
            process, status_port = stack.enter_context(nginx_server.serving(nginx, door.port, folder))
            pids = {"nginx": process.pid} | pids
        edge = f"{doors.WORKERS} door processes; status through " + ("nginx with its cache" if nginx else "the doors")
        show_progress(edge + ("" if nginx else ": nginx is not installed") + ".")
        load_ms = round(terms.people / LOADS_PER_S * 1000)
        plan = sale_crowd.Plan(
            door.port, status_port, card.code, fixtures.SKU,
            [(line.code, fixtures.key_of(where, line.code)) for line in card.lines],
            terms.people, terms.no_shows, ENTERING, load_ms, 60 + terms.people / ENTERS_PER_S_MIN,
            SALE_S_MAX + load_ms / 1000,
        )  # fmt: skip
        pids["the crowd"], hear, write = stack.enter_context(_crowd(plan, folder, show_progress))
        before = cpu_of(pids)
        entered_s = hear("entered")["seconds"]
        between, memory = cpu_of(pids), bridge.run(_memory())
        card = bridge.run(fixtures.open_in(card, ms=KNOWN_MS + load_ms + SPARE_MS))
        time.sleep(KNOWN_MS / 1000)
        write("go\n")
        hear("over")
        after = cpu_of(pids)
        ends = wait_until_settled(card)
        at_end = bridge.run(_memory())
    ledger = orjson.loads((folder / "ledger.json").read_bytes())
    return Sold(
        card, terms, ledger, entered_s, spent(before, between), spent(between, after), edge, ends, (memory, at_end)
    )


async def _memory() -> int:
    """The bytes that Redis uses."""
    return int((await gate().redis.info("memory"))["used_memory"])


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds of servers, by name."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What came between two results of :func:`cpu_of`."""
    return {name: seconds - before[name] for name, seconds in after.items()}


def wait_until_settled(card: SaleCard) -> list[Survey]:
    """The last figures of the lines. Redis may hear of a confirmation some seconds after PostgreSQL."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        ends = [bridge.run(fixtures.survey(card, line)) for line in card.lines]
        if not any(end.held for end in ends) or time.monotonic() > deadline:
            return ends
        time.sleep(0.2)


Hear = Callable[[str], dict[str, Any]]


@contextmanager
def _crowd(
    plan: sale_crowd.Plan, folder: Path, show_progress: Callable[[str], None]
) -> Iterator[tuple[int, Hear, Callable[[str], None]]]:
    """Starts the crowd. Yields its process id, how to wait for a message of it, and how to write to it."""
    (folder / "plan.json").write_bytes(orjson.dumps(plan._asdict()))
    command = [
        sys.executable,
        "-m",
        "simulation.bench.sale_crowd",
        *(str(folder / f"{n}.json") for n in ("plan", "ledger")),
    ]
    limit_s = plan.enter_s + plan.sale_s + 120
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        watch = threading.Timer(limit_s, process.kill)
        watch.start()
        try:
            assert process.stdout is not None
            assert process.stdin is not None
            stdin: IO[str] = process.stdin

            def write(text: str) -> None:
                stdin.write(text)
                stdin.flush()

            messages = iter(process.stdout)
            yield process.pid, lambda name: _hear(messages, name, show_progress), write
        finally:
            watch.cancel()
            process.kill()


def _hear(messages: Iterator[str], name: str, show_progress: Callable[[str], None]) -> dict[str, Any]:
    """The next message with this name. Shows the progress in between. Raises FixtureError when the crowd has ended."""
    for line in messages:
        message: dict[str, Any] = orjson.loads(line)
        if name in message:
            return message
        show_progress(message["progress"])
    raise fixtures.FixtureError(f"the crowd ended before it said {name!r}; its error is printed above")
