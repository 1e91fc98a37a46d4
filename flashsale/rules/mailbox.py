"""One spelling for a mailbox: which addresses a mail provider delivers to the same person.

Two spellings are one mailbox only where the provider's documentation says so. Elsewhere two people may differ by them.
The rules have versions, because a campaign keeps the version that it was published with: a digest made today must be
the one that was made when its owner entered the line.

Sources, read in November 2026: Google (dots, +tag), Fastmail (+tag, tag@name.domain), Proton (dots, hyphens and
underscores are ignored; +tag), Microsoft (+tag on all of its consumer domains), Apple (+tag; me.com and mac.com are
icloud.com), Yahoo (base-tag), Yandex (dot and hyphen are one; +tag; all its domains lead to one mailbox), Zoho (+tag).
The pages stand beside the cases in tests/rules/test_mailbox.py.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

LOCAL_BYTES_MAX = 64
DOMAIN_CHARS_MAX = 253
LABEL_CHARS_MAX = 63

_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])")

# Domains of one provider that lead to one mailbox: the other domains by the one that stands for all.
_DOMAINS_OF_ONE = {
    "gmail.com": "googlemail.com",
    "icloud.com": "me.com mac.com",
    "proton.me": "protonmail.com protonmail.ch pm.me",
    "yandex.com": "yandex.ru ya.ru yandex.by yandex.kz yandex.ua",
}
_SAME_MAILBOXES = {other: domain for domain, others in _DOMAINS_OF_ONE.items() for other in others.split()}


@dataclass(frozen=True, slots=True)
class Provider:
    """How a provider reads the part before the @.

    `tag` starts what it ignores; `ignored` are characters that it drops; `same` are characters that it takes for
    another one; `subdomains` means that tag@name.domain is name@domain.
    """

    tag: str = ""
    ignored: str = ""
    same: tuple[str, str] = ("", "")
    subdomains: bool = False


_PLUS = Provider(tag="+")
# Yahoo's disposable addresses are `base-anything`; its ordinary names have no hyphen.
_YAHOO = Provider(tag="-")
_FASTMAIL = Provider(tag="+", subdomains=True)

_BY_DOMAIN: dict[int, dict[str, Provider]] = {
    1: {
        "gmail.com": Provider(tag="+", ignored="."),
        "icloud.com": _PLUS,
        "outlook.com": _PLUS,
        "outlook.co.id": _PLUS,
        "hotmail.com": _PLUS,
        "live.com": _PLUS,
        "msn.com": _PLUS,
        "proton.me": _PLUS,
        "yandex.com": _PLUS,
        "fastmail.com": _PLUS,
        "yahoo.com": _YAHOO,
        "yahoo.co.id": _YAHOO,
        "ymail.com": _YAHOO,
        "rocketmail.com": _YAHOO,
    },
    2: {
        "gmail.com": Provider(tag="+", ignored="."),
        "icloud.com": _PLUS,
        "msn.com": _PLUS,
        "windowslive.com": _PLUS,
        "passport.com": _PLUS,
        "proton.me": Provider(tag="+", ignored=".-_"),
        "yandex.com": Provider(tag="+", same=(".", "-")),
        "zoho.com": _PLUS,
        "zohomail.com": _PLUS,
        "ymail.com": _YAHOO,
        "rocketmail.com": _YAHOO,
        "myyahoo.com": _YAHOO,
        "sent.com": _FASTMAIL,
        "messagingengine.com": _FASTMAIL,
        "123mail.org": _FASTMAIL,
        "mailcan.com": _FASTMAIL,
    },
}
# Providers with a domain in each country, by the first label: outlook.fr and hotmail.co.uk are Microsoft's.
_BY_BRAND: dict[int, dict[str, Provider]] = {
    1: {},
    2: {"outlook": _PLUS, "hotmail": _PLUS, "live": _PLUS, "yahoo": _YAHOO, "fastmail": _FASTMAIL},
}
# From version 3 on, a brand has only .com and the domains of countries (live.xyz may belong to anybody). Fastmail has
# more domains; its manual stands at each of these.
_BY_DOMAIN[3] = _BY_DOMAIN[2] | dict.fromkeys(
    (
        "fastmail.net", "fastmail.org", "warpmail.net", "ftml.net", "realemail.net", "emailplus.org", "reallyfast.info",
    ),
    _FASTMAIL,
)  # fmt: skip
_BY_BRAND[3] = _BY_BRAND[2]
_ANY_COUNTRY = re.compile(r"([a-z]+)\.(?:[a-z]{2,3}|(?:co|com)\.[a-z]{2})")
_COUNTRY = {1: _ANY_COUNTRY, 2: _ANY_COUNTRY, 3: re.compile(r"([a-z]+)\.(?:[a-z]{2}|com|(?:co|com)\.[a-z]{2})")}
VERSIONS = frozenset(_BY_DOMAIN)


def canonical_mailbox(text: str, version: int) -> str:
    """The one spelling of a mailbox under a version of the rules, empty when it can be none."""
    local, _, domain = split(text)
    domain, local = _SAME_MAILBOXES.get(domain, domain), local.lower()
    if not local or not domain:
        return ""
    provider, home = _provider_of(domain, version)
    if home != domain:
        # tag@name.fastmail.fm: the name stands in the domain. A mailbox there may not be called like the domain.
        local, domain = domain.removesuffix(f".{home}"), home
        # A hyphen in the domain may stand for the underscore of a name, or for a hyphen. It cannot be read for certain.
        if version >= 3 and "-" in local:
            return ""
    if provider.tag:
        local = local.partition(provider.tag)[0]
    local = local.replace(*provider.same) if provider.same[0] else local
    local = "".join(character for character in local if character not in provider.ignored)
    return f"{local}@{domain}" if local else ""


def split(text: str) -> tuple[str, str, str]:
    """Local part, "@" and domain in ASCII; all empty when the text can be no mailbox.

    Lengths are checked before the work that grows with them: Punycode takes the square of a label's length.
    """
    local, _, domain = unicodedata.normalize("NFKC", text).rpartition("@")
    if len(local.encode("utf-8", "replace")) > LOCAL_BYTES_MAX or len(domain) > DOMAIN_CHARS_MAX:
        return "", "", ""
    plain = _ascii_domain(domain.lower())
    return (local, "@", plain) if plain and _LOCAL_PART.fullmatch(local) else ("", "", "")


@lru_cache(maxsize=1024)
def _ascii_domain(domain: str) -> str:
    """The ASCII form of a domain; most people's mail is with a few providers, so the answers are kept."""
    labels = domain.replace("。", ".").removesuffix(".").split(".")
    plain = ".".join(_ascii_label(label) for label in labels)
    return plain if len(plain) <= DOMAIN_CHARS_MAX and _DOMAIN.fullmatch(plain) else ""


def _ascii_label(label: str) -> str:
    if label.isascii() or len(label) > LABEL_CHARS_MAX:
        return label
    # As browsers and mail programs do it today. Python's own codec follows older rules: it reads straße as strasse,
    # which is the mailbox of another person.
    return f"xn--{label.encode('punycode').decode()}" if label.isprintable() else ""


@lru_cache(maxsize=1024)
def _provider_of(domain: str, version: int) -> tuple[Provider, str]:
    """The provider of a domain, and the domain that its mailboxes carry."""
    known, brands = _BY_DOMAIN[version], _BY_BRAND[version]
    for home in (domain, domain.partition(".")[2]):
        brand = _COUNTRY[version].fullmatch(home)
        provider = known.get(home) or (brands.get(brand[1]) if brand else None)
        if provider and (home == domain or provider.subdomains):
            return provider, home
    return Provider(), domain
