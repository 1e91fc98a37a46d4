"""Records every answer as the client received it, so that an outsider can recompute limits, order and stock."""

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

# A partner that charges its buyer confirms the order. Others begin a payment at a gateway, and follow it.
CONFIRM, BEGIN, PAYMENT = "confirm", "begin payment", "payment"


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and its answer; also one line of answers.ndjson.

    `who` is the code of the simulated person, `verb` the kind of request, `sent` the body of the request, `key` its
    Idempotency-Key. `asked_ms` and `at_ms` are the times of request and answer on the client's clock, in ms since 1970.
    Status 0 means that no answer came.
    """

    who: str
    verb: str
    sale: str
    line: str
    asked_ms: int
    at_ms: int
    status: int
    sent: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The problem code of a refusal; empty when the status is 2xx."""
        return "" if self.ok else str(self.body.get("code", ""))


class Journal:
    """Keeps the answers in the order of arrival. If `path` is given, also writes each as one line of JSON."""

    def __init__(self, *, path: Path | None = None) -> None:
        self.answers: list[Answer] = []
        self._file: TextIO | None = path.open("w", encoding="utf-8") if path else None
        self._lock = threading.Lock()

    def add(self, answer: Answer) -> Answer:
        """Records an answer and returns it."""
        with self._lock:
            self.answers.append(answer)
            if self._file:
                self._file.write(json.dumps(asdict(answer), ensure_ascii=False, separators=(",", ":")) + "\n")
        return answer

    def answers_to(self, *verbs: str, sale: str = "", line: str = "") -> Iterator[Answer]:
        """The answers to these verbs, if named only those of one sale or line."""
        for answer in self.answers:
            if answer.verb in verbs and sale in {"", answer.sale} and line in {"", answer.line}:
                yield answer

    def close(self) -> None:
        """Closes the file."""
        if self._file:
            self._file.close()
            self._file = None


class NullJournal(Journal):
    """Records nothing: for crowds whose answers are not checked."""

    def add(self, answer: Answer) -> Answer:
        """Returns the answer."""
        return answer
