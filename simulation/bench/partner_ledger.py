"""Compares what a partner's servers wrote down with PostgreSQL, Redis, the feed of events and the settlement."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flashsale.gate.sale_card import SaleCard
from simulation.bench import fixtures, sale_ledger
from simulation.bench.partner_server import FeedEvent
from simulation.bench.sale_ledger import Ledger

# The columns of a ledger: a shopper's value is the one of their server.
COLUMNS = ("indexes", "numbers", "heard", "offsets", "claim_ends", "reservations", "references", "ends")
# What a server counts and does not write down: it is lost with the server, except what it told before.
TOLD = ("again after", "status")


def together(ledgers: Sequence[Mapping[str, Any]], lost: Mapping[str, Any]) -> dict[str, Any]:
    """One ledger of all servers."""
    found: dict[str, Any] = {name: list(ledgers[0][name]) for name in COLUMNS}
    for number, ledger in enumerate(ledgers):
        for name in COLUMNS:
            found[name][number :: len(ledgers)] = ledger[name][number :: len(ledgers)]
    answers, counts = Counter[str](), Counter[str](lost.get("counts", {}))
    answers.update({name: count for name, count in lost.get("answers", {}).items() if name.startswith(TOLD)})
    by_second: dict[str, Counter[int]] = defaultdict(Counter)
    for ledger in ledgers:
        answers.update(ledger["answers"])
        counts.update(ledger["counts"])
        for name, seconds in ledger["by_second"].items():
            by_second[name].update(dict(seconds))
    return found | {
        "answers": answers, "counts": counts, "by_second": by_second,
        "last_paid_ms": max(ledger["last_paid_ms"] for ledger in ledgers),
        "oldest_ms": max(ledger["oldest_ms"] for ledger in ledgers),
        "over": all(ledger["over"] for ledger in ledgers),
        "feed": [FeedEvent(*event) for ledger in ledgers for event in ledger["feed"]],
    }  # fmt: skip


def differences(card: SaleCard, ledger: Ledger, settled: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every difference between the servers' ledger, the stores, the feed and the settlement, as one line of text."""
    return [
        *sale_ledger.differences(card, ledger),
        *_wrong_events(ledger),
        *_wrong_settlement(ledger, settled),
    ]


def _wrong_events(ledger: Ledger) -> Iterator[str]:
    """The events of each reservation have no gap, and say what the servers were told."""
    feed: dict[str, list[FeedEvent]] = defaultdict(list)
    for event in ledger["feed"]:
        feed[event.reservation].append(event)
    told = {id_: reference for id_, reference in zip(ledger["reservations"], ledger["references"], strict=True) if id_}
    for id_ in feed.keys() ^ told.keys():
        yield f"reservation {id_} is only in {'the feed' if id_ in feed else 'the ledger of the servers'}"
    for id_ in feed.keys() & told.keys():
        events = feed[id_]
        if [event.sequence for event in events] != list(range(1, len(events) + 1)):
            yield f"reservation {id_}: the feed has the sequences {[event.sequence for event in events]}"
        paid = [event.payment for event in events if event.type == "payment.paid"]
        confirmed = any(event.type == "reservation.confirmed" for event in events)
        if (paid, confirmed) != (([told[id_]], True) if told[id_] else ([], False)):
            yield f"reservation {id_}: paid {told[id_] or 'nothing'}, the feed has {paid}, confirmed: {confirmed}"


def _wrong_settlement(ledger: Ledger, lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of each order add up to one unit and its price, and name its payment."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    named: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        id_ = line["reservation"]
        sums[id_].update({name: line[name] for name in ("units", "amount", "paid", "refunded")})
        named[id_].add(line["payment"])
    for id_, reference in zip(ledger["reservations"], ledger["references"], strict=True):
        if not id_:
            continue
        expected = {"units": 1, "amount": fixtures.PRICE, "paid": fixtures.PRICE, "refunded": 0} if reference else {}
        if dict(sums.pop(id_, {})) != expected or named.get(id_, set()) != ({reference} if reference else set()):
            yield f"reservation {id_}: the settlement does not say that {reference or 'nothing'} was paid"
    for id_ in sums:
        yield f"reservation {id_} is in the settlement, and no server knows it"
