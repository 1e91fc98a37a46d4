"""A process that takes a unit in Redis and is then stopped (test_frozen.py).

It prints "taken" and waits for a line of input before it writes to PostgreSQL. At the end it prints the outcome.
"""

import json
import sys
from asyncio import Future
from typing import Any

from flashsale.books import reservations, writer_threads
from flashsale.gate import bridge
from flashsale.life import places, reserve
from flashsale.rules.outcomes import Refused


def main() -> None:
    """Reserves for the place that the command line describes."""
    told = json.loads(sys.argv[1])
    really = writer_threads.Writer.submit

    def submit(self: writer_threads.Writer, winner: reservations.NewReservation) -> "Future[Any]":
        say("taken")
        sys.stdin.readline()
        return really(self, winner)

    writer_threads.Writer.submit = submit  # type: ignore[method-assign]
    if not told["guarded"]:
        reservations.lock_sale = lambda *_, **__: (told["epoch"], "published")
    card = bridge.run(places.sale_card(code=told["sale"]))
    line = card.lines[0]
    place = places.open_place(card=card, line=line, token=told["token"])
    channel = next(channel for channel in card.channels if channel.code == line.channels[0])
    where: dict[str, Any] = {"card": card, "line": line, "channel": channel, "place": place}
    try:
        bridge.run(reserve.reserve(**where, items=[(line.skus[0], 1)], key="frozen", key_owner="place"))
    except Refused as refused:
        say(str(refused.outcome))
    else:
        say("reserved")


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
