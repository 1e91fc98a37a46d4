"""Names, phones and mailboxes of the second crowd."""

import math
import re
from collections.abc import Sequence

from simulation.second_crowd.addresses import mistyped
from simulation.second_crowd.areas import Area
from simulation.second_crowd.dice import DIGITS, Dice
from simulation.second_crowd.words import (
    BALINESE,
    CHINESE,
    CLANS,
    FEMALE,
    FREE_WORDS,
    LAST,
    LAST_FEMALE,
    MALE,
    NICKNAMES,
    ONE_NAME,
)

# Operator, share, prefixes, lengths of the rest.
_OPERATORS = {
    "tsel": (0.44, "811 812 813 821 822 823 851 852 853", (7, 8, 8, 8)),
    "isat": (0.19, "814 815 816 855 856 857 858", (7, 8, 8, 8)),
    "xl": (0.14, "817 818 819 859 877 878", (6, 7, 8, 8)),
    "axis": (0.07, "831 832 833 838", (7, 8, 8)),
    "tri": (0.11, "895 896 897 898 899", (7, 8, 8, 9)),
    "sf": (0.05, "881 882 883 887 888 889", (7, 8, 8)),
}
OPERATORS = tuple(_OPERATORS)
_WOMEN = frozenset(FEMALE) | frozenset(LAST_FEMALE)
_TITLES = ("ibu", "bu", "pak", "bpk", "mas", "mba", "i", "ni")
_HOSTS = {
    "gmail.com": 79.5, "yahoo.com": 7, "yahoo.co.id": 3.4, "outlook.com": 2.2, "hotmail.com": 2, "icloud.com": 2.6,
    "ymail.com": 1.3, "rocketmail.com": 0.9, "live.com": 0.7, "outlook.co.id": 0.4,
}  # fmt: skip
_DOMAIN_STARTS = (
    "toko", "gudang", "berkah", "rejeki", "mitra", "cell", "gadget", "hp", "mail", "inbox", "sinar", "jaya",
)  # fmt: skip


def operator_of(phone: str) -> str:
    """The operator of a phone number that begins with 62."""
    return next(name for name, (_, prefixes, _) in _OPERATORS.items() if phone[2:5] in prefixes.split())


def plain(name: str) -> str:
    """The letters of a name, in lower case."""
    return re.sub(r"[^a-z]", "", name.lower())


class Names:
    """Names of people."""

    def __init__(self, dice: Dice) -> None:
        self._dice, self._rng = dice, dice.rng

    def given(self, *, female: bool) -> str:
        """A first name."""
        return self._rng.choice(FEMALE if female else MALE)

    def full(self, *, tail: str | None = None, area: Area | None = None) -> str:
        """A name as it stands on an identity card. `tail` is the surname of a family that has one."""
        dice, rng = self._dice, self._rng
        female, province, kind = dice.chance(0.44), area.province if area else "", rng.random()
        if tail:
            name = self.given(female=female)
            return f"{name} {self.given(female=female)} {tail}" if dice.chance(0.25) else f"{name} {tail}"
        if (province == "Sumatera Utara" and kind < 0.5) or kind < 0.03:
            return f"{self.given(female=female)} {rng.choice(CLANS)}"
        if province == "Bali" and kind < 0.7:
            return f"{rng.choice(BALINESE)} {self.given(female=female)}"
        return self._common(kind, female=female)

    def _common(self, kind: float, *, female: bool) -> str:
        """A name that does not show where its owner comes from."""
        dice, rng, last = self._dice, self._rng, LAST_FEMALE if female else LAST
        if kind < 0.14:
            return rng.choice(ONE_NAME) if kind < 0.09 else self.given(female=female)
        if kind < 0.20:
            return f"{self.given(female=female)} {rng.choice(CHINESE)}"
        if kind < 0.30:
            first = "Siti" if female else dice.one("Muhammad", "Muhamad", "M.", "Moch.", "Muh.", "Mohamad", "Ahmad")
            name = f"{first} {self.given(female=female)}"
            return name if dice.chance(0.4) else f"{name} {rng.choice(last)}"
        name = self.given(female=female)
        if dice.chance(0.3):
            name += f" {self.given(female=female)}"
        return f"{name} {rng.choice(last)}" if dice.chance(0.85) else name

    def typed(self, name: str, *, odd: bool = False) -> str:
        """The name as its owner types it: whole, shortened or with a title."""
        dice, how = self._dice, self._rng.random()
        words = name.split()
        if how < 0.06 and not name.startswith(("I ", "Ni ")):
            name = words[0]
        elif how < 0.11:
            woman = any(word in _WOMEN for word in words)
            name = (dice.one("Ibu ", "Bu ", "Mba ") if woman else dice.one("Pak ", "Bpk ", "Mas ")) + name
        elif how < 0.16 and len(words) > 1:
            name = " ".join((*words[:-1], words[-1][0]))
        if odd or dice.chance(0.015):
            name = mistyped(dice, name, 0.5 if odd else 0.4)
        how = self._rng.random()
        return name.lower() if how < 0.17 else name.upper() if how < 0.26 else name


class Phones:
    """Phone numbers, each given once."""

    def __init__(self, dice: Dice) -> None:
        self._dice, self._rng = dice, dice.rng
        self._taken: set[str] = set()
        self._weights = [share * math.exp(self._rng.gauss(0, 0.15)) for share, _, _ in _OPERATORS.values()]

    def one(self, operators: Sequence[str] = ()) -> str:
        """A number that begins with 62, of one of these operators or of any."""
        rng = self._rng
        while True:
            operator = rng.choice(operators) if operators else rng.choices(OPERATORS, self._weights)[0]
            _, prefixes, lengths = _OPERATORS[operator]
            first = f"62{rng.choice(prefixes.split())}{rng.randint(1, 9)}"
            phone = first + "".join(rng.choices(DIGITS, k=rng.choice(lengths) - 1))
            if phone not in self._taken:
                self._taken.add(phone)
                return phone

    def row(self, count: int, *, gap: int = 3) -> list[str]:
        """Numbers of cartons in ascending order, with gaps where cards were sold or kept."""
        rng, found = self._rng, list[str]()
        while len(found) < count:
            base = self._base()
            number, numbers = int(base), []
            for _ in range(min(count - len(found), rng.randint(4, 25))):
                number += 1 if rng.random() < 0.6 else rng.randint(1, gap)
                numbers.append(number)
            found += self._claimed(base, numbers)
        return found

    def carton(self, count: int) -> list[str]:
        """Numbers of which only the last four digits differ, in no order."""
        found: list[str] = []
        while len(found) < count:
            base = self._base()
            ends = self._rng.sample(range(10000), count - len(found))
            found += self._claimed(base, [int(base[:-4]) * 10000 + end for end in ends])
        self._rng.shuffle(found)
        return found

    def _base(self) -> str:
        base = self.one()
        self._taken.discard(base)
        return base

    def _claimed(self, base: str, numbers: list[int]) -> list[str]:
        """The free numbers among these, of the operator of `base`. From now on they are taken."""
        free = [str(number) for number in numbers if str(number)[:5] == base[:5] and str(number) not in self._taken]
        self._taken.update(free)
        return free

    def typed(self, phone: str, form: str | None = None) -> str:
        """The number in one of the spellings that people use."""
        national = "0" + phone[2:]
        forms = {
            "08": national,
            "+62": f"+{phone}",
            "62": phone,
            "dash": f"{national[:4]}-{national[4:8]}-{national[8:]}",
            "space": f"{national[:4]} {national[4:8]} {national[8:]}",
            "+62s": f"+62 {national[1:4]}-{national[4:8]}-{national[8:]}",
            "8": phone,
        }
        return forms[form or self._rng.choices(tuple(forms), (0.74, 0.08, 0.06, 0.04, 0.045, 0.025, 0.01))[0]]


class Mailboxes:
    """Mailboxes, each given once: without tags, and at Gmail without dots, no two are the same."""

    def __init__(self, dice: Dice, names: Names) -> None:
        self._dice, self._rng, self._names = dice, dice.rng, names
        self._taken: set[str] = set()
        self._domains: set[str] = set()

    def claim(self, local: str, host: str) -> str | None:
        """The mailbox, or None if it is taken or too short."""
        bare = local.lower().partition("+")[0]
        key = f"{bare.replace('.', '') if host == 'gmail.com' else bare}@{host}"
        if key in self._taken or len(local) < 3:
            return None
        self._taken.add(key)
        return f"{local}@{host}"

    def own(self, name: str, host: str | None = None) -> str:
        """The mailbox of a person. One of three has little to do with the name."""
        attempt = 0
        while True:
            at = host or self._dice.by_weight(_HOSTS)
            words = [word for word in re.sub(r"[^a-z ]", "", name.lower()).split() if word not in _TITLES] or ["user"]
            local = self._local(words[0], words[-1], attempt, gmail=at.startswith("gm"))
            if self._dice.chance(0.004) and not host:
                local += self._dice.one("+promo", "+shop", "+lazada", "+flashsale")
            local = local.strip(".")
            if not too_short(local, at) and (found := self.claim(local, at)):
                return found
            attempt += 1

    def _local(self, first: str, last: str, attempt: int, *, gmail: bool) -> str:
        dice = self._dice
        how = self._rng.random() * (0.9 if attempt < 8 else 0.6)
        number = self._number(attempt)
        alone = first == last
        if how < 0.26:
            return first + ("" if alone else dice.one(".", "", "", "" if gmail else "_") + last) + number
        if how < 0.42:
            return first + number
        if how < 0.50:
            return ("" if alone else f"{last}.") + first + number
        if how < 0.58:
            return first[0] + last + number
        if how < 0.64:
            return first + ("" if alone else last[0]) + number
        return self._free_local(first, how) + number if how < 0.87 else self._decorated(first, number)

    def _number(self, attempt: int) -> str:
        """Digits behind a name: a year, a birthday, or what was free."""
        dice, rng = self._dice, self._rng
        year = f"{int(rng.gauss(93, 8) % 100):02d}"
        long_year = str(int(min(2008, max(1958, rng.gauss(1993, 8)))))
        if attempt < 2 and dice.chance(0.25):
            return ""
        number = dice.one(
            year,
            long_year,
            dice.digits(1, 99),
            dice.digits(100, 999),
            f"{rng.randint(1, 28):02d}{rng.randint(1, 12):02d}",
            dice.one("123", "01", "007", "11", "99", "22", year + dice.digits(0, 9)),
        )
        return number + dice.digits(10, 9999) if attempt > 12 else number

    def _free_local(self, first: str, how: float) -> str:
        """A nickname, two words, or the mailbox of a relative."""
        dice, rng = self._dice, self._rng
        if how < 0.75:
            return rng.choice(NICKNAMES) + dice.one("", first, rng.choice(FREE_WORDS))
        if how < 0.82:
            return rng.choice(FREE_WORDS) + dice.one("", ".", "") + rng.choice(FREE_WORDS)
        words = self._names.full().split()
        return plain(words[0] + words[-1])

    def _decorated(self, first: str, number: str) -> str:
        swapped = first.translate(str.maketrans("aio", self._dice.one("aio", "410", "ai0")))
        return swapped + self._dice.one("xx", "zz", "chu", "oke", "id", "store", "official", "acc") + number

    def odd(self, name: str) -> str:
        """A mailbox that looks as if a program had made it: of a relay, of random letters, or made by a phone shop."""
        dice, rng = self._dice, self._rng
        kind = dice.by_weight({"relay": 0.3, "hide": 0.12, "mash": 0.25, "shop": 0.2, "moz": 0.05, "initials": 0.08})
        while True:
            if kind == "relay":
                local, host = dice.letters(10, 0.3), "privaterelay.appleid.com"
            elif kind == "hide":
                local = rng.choice(FREE_WORDS) + dice.one("_", "-", ".") + rng.choice(FREE_WORDS)
                local, host = f"{local}{rng.randint(0, 99):02d}", "icloud.com"
            elif kind == "mash":
                local = "".join(rng.choices("asdfghjklqweruiop", k=rng.randint(7, 11)))
                local, host = local + dice.one("", dice.digits(1, 999)), "gmail.com"
            elif kind == "shop":
                local, host = f"{plain(name)[:6]}{rng.randint(0, 999999):06d}", "gmail.com"
            elif kind == "moz":
                local, host = dice.letters(9, 0.3), "mozmail.com"
            else:
                local = f"{''.join(rng.choices('abdefhijklmnrsty', k=3))}{rng.randint(0, 99999):05d}"
                host = dice.one("gmail.com", "yahoo.com")
            if found := self.claim(local, host):
                return found

    def domain(self) -> str:
        """A reseller's own domain, each given once."""
        dice = self._dice
        while True:
            domain = self._rng.choice(_DOMAIN_STARTS)
            domain += dice.one("ku", "jaya", "store", "hub", "cell", "mail", "id", "net", "abadi", "88", "new")
            domain += dice.one("", dice.digits(1, 99))
            domain += dice.one(".com", ".my.id", ".my.id", ".xyz", ".site", ".web.id", ".id", ".online")
            if domain not in self._domains:
                self._domains.add(domain)
                return domain


def too_short(local: str, host: str) -> bool:
    """Gmail asks for six signs at least."""
    return host == "gmail.com" and len(local.partition("+")[0].replace(".", "")) < 6
