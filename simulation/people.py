"""The people of a simulated crowd: their identities and their kinds. The same seed gives the same people."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a person does in a sale."""

    HONEST = "honest"
    FAMILY = "family"
    """Two people of one household: one address and one card, but two orders."""
    DOUBLE = "double click"
    """Sends each reservation and each confirmation twice at the same time."""
    RETRIER = "retrier"
    """Sends each request again later, under the same idempotency key."""
    IMPATIENT = "impatient"
    """Tries to reserve before the call."""
    LATE = "late-comer"
    """Enters after the opening, behind the cohort."""
    LEAVER = "leaver"
    """Enters, leaves, and enters again before the draw."""
    NO_SHOW = "no-show"
    """Enters and does not come when called."""
    HOLDER = "holder"
    """Reserves, does not pay, and tries to confirm when the hold is over."""
    RESELLER = "reseller"
    """Has one phone and many e-mail addresses, and tries every partner."""
    RING = "ring"
    """A member of a ring: has their own phone and e-mail, but the ring's device, card or address."""


# People of each kind in a thousand; all others are honest.
SHARES = {
    Kind.FAMILY: 30,
    Kind.DOUBLE: 60,
    Kind.RETRIER: 60,
    Kind.IMPATIENT: 50,
    Kind.LATE: 50,
    Kind.LEAVER: 20,
    Kind.NO_SHOW: 80,
    Kind.HOLDER: 50,
    Kind.RESELLER: 20,
    Kind.RING: 150,
}
BUYERS = frozenset(Kind) - {Kind.NO_SHOW, Kind.HOLDER}
RING_SIZE = 40
# The review finds a ring with three orders or more. With so many members, a ring gets them in any draw.
RING_MIN = 24
_STREETS = ("Jl. Sudirman", "Jl. Thamrin", "Gg. Melati", "Jl. Diponegoro", "Jl. Gatot Subroto", "Gg. Kenanga")
_NAMES = ("Budi", "Siti", "Agus", "Dewi", "Andi", "Rina", "Joko", "Putri", "Hendra", "Wulan", "Yusuf", "Ayu")
_MAILS = ("example.com", "example.org", "example.net")


@dataclass(frozen=True, slots=True)
class Person:
    """A person with all their identifiers. `ring` names their ring or household; it is empty for single people."""

    code: str
    kind: Kind
    channel: str
    name: str
    phone: str
    email: str
    address: str
    device: str
    card: str
    language: str
    ring: str = ""

    def alias(self, number: int, channel: str) -> "Person":
        """The same person under another e-mail address, on this channel."""
        local, _, domain = self.email.partition("@")
        return replace(self, code=f"{self.code}-{number}", channel=channel, email=f"{local}.x{number}@{domain}")

    @property
    def contact(self) -> dict[str, str]:
        """The contact data that a shop needs to send the goods."""
        return {"name": self.name, "address": self.address, "phone": self.phone, "email": self.email}

    @property
    def identity(self) -> dict[str, str]:
        """The identity on all axes that a partner sends with a confirmation."""
        return {
            "phone": self.phone,
            "email": self.email,
            "address": self.address,
            "device": self.device,
            "payment": self.card,
        }


class PeopleFactory:
    """Makes people. `mark` (0 to 999) is part of phones and codes, so that two crowds never share a person."""

    def __init__(self, *, seed: int, mark: int = 0) -> None:
        self._random = random.Random(f"{seed}/{mark}")
        self._mark = mark
        self._made = 0

    def person(self, kind: Kind, channel: str) -> Person:
        """A new person with their own phone, e-mail, address, device and card."""
        self._made += 1
        made, rng = self._made, self._random
        # Phone numbers are far apart, as those of strangers are. Mailboxes have letters, because running numbers would
        # look like those of a ring.
        spread = made * 61_803 % 100_000
        mailbox = "".join("abcdefghij"[int(digit)] for digit in f"{self._mark:03d}{made:05d}")
        return Person(
            code=f"p{self._mark:03d}{made:05d}",
            kind=kind,
            channel=channel,
            name=f"{rng.choice(_NAMES)} {rng.choice(_NAMES)}",
            phone=f"0812{spread:05d}{self._mark:03d}",
            email=f"p{mailbox}@{rng.choice(_MAILS)}",
            address=f"{rng.choice(_STREETS)} No. {made}, RT {rng.randint(1, 9)}/RW {rng.randint(1, 9)}, Jakarta",
            device=f"{rng.getrandbits(128):032x}",
            card=f"card-{rng.getrandbits(64):016x}",
            language=rng.choice(("id", "id", "en")),
        )

    def member(self, head: Person, channel: str) -> Person:
        """A new person who uses the device and the card of `head`, but their own phone and e-mail."""
        person = self.person(Kind.RING, channel)
        return replace(person, device=head.device, card=head.card, ring=f"ring of {head.code}")

    def crowd(self, *, size: int, channels: Mapping[str, float], plain: bool = False) -> list[Person]:
        """Makes `size` people of all kinds, spread over channels by weight; `plain`: only honest ones and no-shows."""
        people: list[Person] = []
        for kind, permille in SHARES.items():
            if plain and kind is not Kind.NO_SHOW:
                continue
            fewest = min(RING_MIN, size // 3) if kind is Kind.RING else 3
            count = max(fewest, round(size * permille / 1000))
            people += self._some(kind, count, channels)
        people += self._some(Kind.HONEST, max(0, size - len(people)), channels)
        people = list(self._households(self._rings(people)))
        self._random.shuffle(people)
        return people

    def _some(self, kind: Kind, count: int, channels: Mapping[str, float]) -> list[Person]:
        chosen = self._random.choices(list(channels), list(channels.values()), k=count)
        return [self.person(kind, channel) for channel in chosen]

    def _rings(self, people: list[Person]) -> Iterator[Person]:
        """Gives the members of a ring one device, one card, or one device and address, and mailboxes of one pattern.

        Who makes many mailboxes numbers them. Phones differ.
        """
        members = [person for person in people if person.kind is Kind.RING]
        rings = -(-len(members) // RING_SIZE)
        yield from (person for person in people if person.kind is not Kind.RING)
        for at in range(rings):
            ring = members[at::rings]
            head = ring[0]
            common: tuple[dict[str, Any], ...] = (
                {"device": head.device},
                {"card": head.card},
                {"device": head.device, "address": head.address},
            )
            local, _, domain = head.email.partition("@")
            for number, person in enumerate(ring):
                mailbox = f"{local}{number:02d}@{domain}"
                yield replace(person, email=mailbox, ring=f"ring {at + 1}", **common[at % len(common)])

    @staticmethod
    def _households(people: Iterator[Person]) -> Iterator[Person]:
        """Pairs family members: each pair has one address and one card. The review must not suspect them for that."""
        waiting: Person | None = None
        for person in people:
            if person.kind is not Kind.FAMILY:
                yield person
            elif waiting is None:
                waiting = person
                yield person
            else:
                home = f"home of {waiting.code}"
                yield replace(person, address=waiting.address, card=waiting.card, ring=home)
                waiting = None
