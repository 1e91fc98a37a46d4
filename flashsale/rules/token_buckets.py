"""How often one identity, place, partner or address may call the hot door."""

from typing import NamedTuple


class TokenBucket(NamedTuple):
    """Allows one request every `gap_ms` and up to `burst` requests at once; a gap of 0 allows every request."""

    gap_ms: float
    burst: int


# An honest person enters once and reserves a few times. On a bad network their browser may repeat requests.
IDENTITY_BUCKET = TokenBucket(gap_ms=1000, burst=30)
PLACE_BUCKET = TokenBucket(gap_ms=100, burst=50)
# A partner's servers send the requests of a whole crowd.
PARTNER_BUCKET = TokenBucket(gap_ms=0.05, burst=20_000)
# The bound for an address is high, because many phones share one address (carrier NAT).
ADDRESS_BUCKET = TokenBucket(gap_ms=10, burst=2_000)
UNBOUNDED_BUCKET = TokenBucket(gap_ms=0, burst=0)
