"""What a sender for one-time codes does: it hands one message to a gateway, and says what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from django.utils.translation import gettext, override


@dataclass(frozen=True, slots=True)
class Message:
    """One code to send. `axis` is phone or email; `to` is the address in clear (a phone as E.164)."""

    axis: str
    to: str
    code: str
    sale: str
    language: str

    @property
    def text(self) -> str:
        """The text that the person reads."""
        with override(self.language):
            text = gettext("%(code)s is your code for %(sale)s. It is valid for 10 minutes. Do not give it to anyone.")
        return text % {"code": self.code, "sale": self.sale}

    @property
    def subject(self) -> str:
        """The subject of an e-mail."""
        with override(self.language):
            return gettext("Your code: %(code)s") % {"code": self.code}


class NotSent(Exception):
    """The gateway has not taken the message. `why` is a word without personal data.

    `may_pass`: it may take the message soon. `refuses_us`: it takes no message of ours, so an operator has to act.
    """

    def __init__(self, why: str, *, may_pass: bool = False, refuses_us: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.may_pass = may_pass
        self.refuses_us = refuses_us


class Later(Exception):
    """The gateway takes no message now. It has not taken this one, and may take it after `after_s` seconds."""

    def __init__(self, after_s: float) -> None:
        super().__init__(after_s)
        self.after_s = after_s


class Unanswered(Exception):
    """The gateway got the message and gave no answer, so it may send it. The text is a word without personal data."""


class NotBelieved(Exception):
    """A report is not from the gateway: its signature is wrong or missing."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a gateway says later about a message: `event` is "delivered" or "failed"."""

    reference: str
    event: str
    why: str = ""


class Sender(Protocol):
    """One way to send codes."""

    @property
    def name(self) -> str:
        """The name in FLASHSALE_CODE_SENDER."""

    @property
    def label(self) -> str:
        """How the page calls the sender."""

    @property
    def pace(self) -> float:
        """Messages in a second that the gateway takes, 0: no limit."""

    @property
    def at_once(self) -> int:
        """How many messages a process sends at once."""

    @property
    def lease_s(self) -> float:
        """Seconds after which another process may send the message, because this one must have died."""

    @property
    def reports(self) -> bool:
        """Whether the gateway reports what it has delivered."""

    async def send(self, message: Message) -> str:
        """Hands the message over once; returns the reference that reports name, "" if none come.

        Raises NotSent, Later, Unanswered. Must not log or store the address.
        """


class ReportingSender(Sender, Protocol):
    """A sender whose gateway calls us."""

    def believe(self, *, url: str, body: bytes, headers: Mapping[str, str]) -> list[Report]:
        """The reports of a call to `url`. Raises NotBelieved, and ValueError for a body that is not valid."""
