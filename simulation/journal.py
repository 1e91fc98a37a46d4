"""Every answer as the client saw it: what an outsider needs to recompute limits, order and conservation."""

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came back. Times in ms since 1970 by the client's clock; status 0: no answer came."""

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
        """Whether the request was granted."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The word of a refusal; empty when granted."""
        return "" if self.ok else str(self.body.get("code", ""))


class Journal:
    """Keeps the answers in order of arrival, and writes each as one line of `path` when there is one."""

    def __init__(self, *, path: Path | None = None) -> None:
        self.answers: list[Answer] = []
        self._file: TextIO | None = path.open("w", encoding="utf-8") if path else None
        self._lock = threading.Lock()

    def add(self, answer: Answer) -> Answer:
        """Record an answer and hand it back."""
        with self._lock:
            self.answers.append(answer)
            if self._file:
                self._file.write(json.dumps(asdict(answer), ensure_ascii=False, separators=(",", ":")) + "\n")
        return answer

    def answers_to(self, *verbs: str, sale: str = "", line: str = "") -> Iterator[Answer]:
        """The answers to these verbs, in one sale or line if named."""
        for answer in self.answers:
            if answer.verb in verbs and sale in {"", answer.sale} and line in {"", answer.line}:
                yield answer

    def close(self) -> None:
        """Finish the file."""
        if self._file:
            self._file.close()
            self._file = None


class NullJournal(Journal):
    """Keeps nothing: for crowds that only stand in line."""

    def add(self, answer: Answer) -> Answer:
        """Hand the answer back."""
        return answer
