"""Rehearsals: a simulated crowd in a copy of a sale. Who its people are, how large it may be, and what limits the sale.

Pure Python, so that the crowd, which may run on another machine, and the server that reads its figures agree.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flashsale.rules.identity import Axis

# The campaigns of rehearsals have this prefix.
PREFIX = "rehearsal."
# So many of the people come before the opening. The others come later.
EARLY = 0.8
# A door is slow for people when one of twenty requests takes longer.
DOOR_MS = 1000
# Answers of the door that say that it could not answer.
FAILED = "failed"
VERBS = ("enter", "status", "look", "reserve", "confirm")
# The class of the quota by verb. Nothing limits how often the status is read.
CLASSES = {"enter": "enter", "look": "look", "reserve": "reserve", "confirm": "pay"}


class Terms(NamedTuple):
    """How a crowd comes: `speed` people enter in a second, `no_shows` of those who are called do not come.

    The crowd leaves `minutes` after it has come, if the sale is not over before. A `seed` gives the same people.
    """

    people: int
    no_shows: float
    speed: int
    minutes: int
    seed: int


def identity(person: int) -> dict[Axis, str]:
    """The raw values of a simulated person, by axis. A rehearsal writes to none of them."""
    return {
        Axis.PHONE: f"0812{person:08d}",
        Axis.EMAIL: f"person-{person}@rehearsal.invalid",
        Axis.PAYMENT: f"card-{person}",
        Axis.ACCOUNT: f"account-{person}",
        Axis.NATIONAL_ID: f"{3171010101000000 + person}",
        Axis.ADDRESS: f"Jl. Mawar {person}, Jakarta",
        Axis.DEVICE: f"device-{person}",
        Axis.NETWORK: f"10.{person >> 16 & 255}.{person >> 8 & 255}.{person & 255}",
    }


class Facts(NamedTuple):
    """What the server knows of the copied sale. `quotas`: calls a minute by "channel/class". `pace`: payments a second
    that the payment accounts of the sale take; 0: no account has a pace. `load`: the share of the processors of the
    server that was busy during the rehearsal.
    """

    units: int
    claim_s: int
    lines: int
    rate_per_s: int
    max_entries: int
    quotas: Mapping[str, int]
    pace: float
    load: float


def read_figures(found: Any) -> dict[str, Any]:
    """The figures of a crowd, as it sent them. Raises ValueError for figures that lack something or have other types.

    A crowd on another machine may be of another release, and its figures are shown to staff.
    """
    if not isinstance(found, dict):
        raise ValueError("the figures are no object")  # noqa: TRY004 - one error for all that cannot be read
    figures: dict[str, Any] = {}
    for name in _COUNTS:
        figures[name] = _number(name, found.get(name))
    for name in ("last_paid_s", "first_paid_s"):
        figures[name] = None if found.get(name) is None else _number(name, found[name])
    for name in ("refused", "quotas", "entered_by_line"):
        figures[name] = _numbers(name, found.get(name))
    for name in ("early_wait_s", "late_wait_s"):
        figures[name] = _numbers(name, found.get(name), only=("people", "called", "half", "p95", "most"))
    verbs = found.get("verbs")
    if not isinstance(verbs, dict):
        raise ValueError("verbs: no object")  # noqa: TRY004
    only = ("calls", "p50_ms", "p95_ms", "p99_ms", "most_ms")
    figures["verbs"] = {verb: _numbers(verb, verbs[verb], only=only) for verb in VERBS if verb in verbs}
    figures["over"] = found.get("over") is True
    return figures


_COUNTS = (
    "people", "entered", "called", "no_shows", "reserved", "paid", "disappointed", "failed", "seconds", "late_ms",
    "calls_per_s", "calls_highest", "called_highest", "paid_highest",
)  # fmt: skip
_NAMES_MAX, _NAME_CHARS = 300, 120


def _number(name: str, value: Any) -> float | int:
    if type(value) not in {int, float} or not 0 <= value < 10**12:
        raise ValueError(f"{name}: a number from 0 on is expected, found {value!r:.40}")
    return value  # type: ignore[no-any-return]


def _numbers(name: str, found: Any, *, only: tuple[str, ...] = ()) -> dict[str, float | int]:
    if not isinstance(found, dict) or len(found) > _NAMES_MAX or any(len(str(key)) > _NAME_CHARS for key in found):
        raise ValueError(f"{name}: an object of at most {_NAMES_MAX} numbers is expected")
    if only and found.keys() != set(only):
        raise ValueError(f"{name}: {', '.join(only)} are expected, found {', '.join(sorted(found))}")
    return {str(key): _number(name, value) for key, value in found.items()}


class Limit(NamedTuple):
    """Something that limits a sale: `found` of it was used, of `most`. `share` is how near it came to its end."""

    what: str
    found: float
    most: float
    share: float


def limits_of(figures: Mapping[str, Any], facts: Facts) -> list[Limit]:
    """What limits the sale, the nearest to its end first."""
    refused = figures["refused"]
    verbs = figures["verbs"]
    slowest = max((verbs[verb]["p95_ms"] for verb in verbs), default=0)
    minutes = {name: count for name, count in figures["quotas"].items() if facts.quotas.get(name)}
    quota = max(minutes, key=lambda name: minutes[name] / facts.quotas[name], default="")
    entries = max(figures["entered_by_line"].values(), default=0)
    selling_s = max(1.0, (figures["last_paid_s"] or 0) - (figures["first_paid_s"] or 0))
    found = [
        _limit("door", slowest, DOOR_MS, at_end=bool(figures["failed"])),
        _limit("calling", figures["called_highest"], facts.rate_per_s * facts.lines),
        # The last units wait for the claim windows of people who do not come.
        _limit("claim", facts.claim_s if figures["no_shows"] else 0, max(selling_s, facts.claim_s)),
        _limit("gateway", figures["paid_highest"], facts.pace),
        _limit("quota", minutes.get(quota, 0), facts.quotas.get(quota, 0), at_end=_has(refused, "too_many_requests")),
        _limit("entries", entries, facts.max_entries, at_end=_has(refused, "line_full")),
        _limit("cpu", round(100 * facts.load), 100),
    ]
    return sorted((limit for limit in found if limit.most), key=lambda limit: -limit.share)


def _limit(what: str, found: float, most: float, *, at_end: bool = False) -> Limit:
    share = found / most if most else 0.0
    return Limit(what, round(found, 1), round(most, 1), round(max(share, 1.0) if at_end else share, 3))


def _has(refused: Mapping[str, float], code: str) -> bool:
    return any(code in name for name in refused)
