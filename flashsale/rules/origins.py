"""Origins of other sites, such as https://www.shop.example: whom a header of ours names."""

import re
from urllib.parse import urlsplit

ORIGINS_MAX = 10
# No wildcard: it would also name the sites of other people, for example on a host that many shops share.
_HOST = r"[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?"
_ORIGIN = re.compile(
    rf"https://{_HOST}(?:\.{_HOST})+(?::[1-9][0-9]{{0,4}})?|http://(?:localhost|127\.0\.0\.1)(?::[1-9][0-9]{{0,4}})?"
)


def is_origin(text: str) -> bool:
    """Whether this is an origin that a header may name: https, host, perhaps a port. http is for one's own machine."""
    return _ORIGIN.fullmatch(text) is not None


def origins_in(text: str) -> list[str]:
    """The parts of a list of origins with spaces or commas between them."""
    return text.replace(",", " ").split()


def origin_of(address: str) -> str:
    """The origin of an address, "" if it has none that a header may name."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    found = f"{parts.scheme}://{parts.netloc}".lower()
    return found if is_origin(found) else ""
