"""What can go wrong at a gateway: the names of the faults, and which call each of them hits.

A fault is set for one reference, for one operation, or at a rate. Whether a rate hits depends on the seed, the
reference, the operation and how many such calls came before, and not on the order of calls of other references.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

RULES_MAX = 1_000


class Operation(StrEnum):
    """What a caller asks of a gateway, whatever the gateway calls it; `webhook` is what the gateway sends."""

    BEGIN = "begin"
    LOOK = "look"
    CLOSE = "close"
    REFUND = "refund"
    LOOK_REFUND = "look_refund"
    WEBHOOK = "webhook"


class Fault(StrEnum):
    """What goes wrong."""

    # Answers. The first three do the work.
    DROP = "drop"  # the connection ends without an answer
    ERROR = "error"  # 500
    RESET = "reset"  # the connection is reset in the middle of the body
    UNAVAILABLE = "unavailable"  # 503; nothing was done
    RATE_LIMIT = "rate_limit"  # 429; nothing was done
    SLOW = "slow"  # the answer takes `seconds` of real time (20)
    HUGE = "huge"  # the answer has 5 MB more than it should
    STRINGS = "strings"  # each number is a string
    # Closing
    PAID_BEFORE_CLOSE = "paid_before_close"  # the money arrives as the call does
    PAID_AFTER_CLOSE = "paid_after_close"  # the money arrives after the call succeeded
    # Webhooks
    WEBHOOK_EARLY = "webhook_early"  # it is delivered before the answer of the call that caused it
    WEBHOOK_NEVER = "webhook_never"
    WEBHOOK_TWICE = "webhook_twice"
    WEBHOOK_REVERSED = "webhook_reversed"  # it is held back until the next one of this reference was delivered
    WEBHOOK_LATE = "webhook_late"  # it comes `seconds` late, by the gateway's clock (3 hours)
    WEBHOOK_ALTERED = "webhook_altered"  # `fields` are changed; the signature is the one that the true fields had
    WEBHOOK_STRINGS = "webhook_strings"  # each number is a string
    # Refunds
    REFUND_FAILS = "refund_fails"  # it is accepted, and fails later
    REFUND_REFUSED = "refund_refused"  # the bank refuses at once
    REFUND_TWICE = "refund_twice"  # its confirmation is sent twice
    REFUND_WINDOW = "refund_window"  # the window is over
    REFUND_BALANCE = "refund_balance"  # the balance of the shop is too low


DEFAULT_S = {Fault.SLOW: 20.0, Fault.WEBHOOK_LATE: 3 * 3600.0}


@dataclass
class Rule:
    """One fault and where it hits. Empty fields match everything. `times` is how often it may hit; None: always."""

    kind: Fault
    reference: str = ""
    on: str = ""
    rate: float = 1.0
    seed: int = 0
    times: int | None = 1
    seconds: float = 0.0
    fields: Mapping[str, Any] = field(default_factory=dict)
    hits: int = 0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def strikes(self, reference: str, operation: str) -> bool:
        """Whether it hits this call. Counts the call."""
        if self.reference not in {"", reference} or self.on not in {"", operation}:
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        if self.rate < 1.0:
            nth = self.seen[reference, operation]
            self.seen[reference, operation] += 1
            text = f"{self.seed}/{self.kind}/{reference}/{operation}/{nth}"
            chance = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
            if chance >= self.rate:
                return False
        self.hits += 1
        return True


class Faults:
    """The rules of one gateway."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Adds a rule. Raises ValueError when it can never hit, or when there are too many."""
        if not 0.0 < rule.rate <= 1.0:
            raise ValueError(f"`rate` is {rule.rate}; it must be above 0 and at most 1.")
        if len(self.rules) >= RULES_MAX:
            raise ValueError(f"There are {RULES_MAX} faults already. Clear them first.")
        rule.seconds = rule.seconds or DEFAULT_S.get(rule.kind, 0.0)
        self.rules.append(rule)

    def strike(self, kind: Fault, reference: str, operation: str) -> Rule | None:
        """The first rule of this kind that hits this call, if one does."""
        return next((rule for rule in self.rules if rule.kind == kind and rule.strikes(reference, operation)), None)
