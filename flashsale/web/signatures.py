"""Whether a partner's request is signed as its channel asks for: one check for the hot door and the REST API."""

from functools import lru_cache

import structlog
from cryptography.fernet import InvalidToken

from flashsale.gate import nonces
from flashsale.models import PartnerKey
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.signing import NONCE, SIGNATURE, TIMESTAMP, SignedRequest, check_signature
from flashsale.web.hot.partners import Partner

log = structlog.get_logger(__name__)

NO_SECRET = "This key has no signing secret. Ask the shop for a new key: its secret is shown with it."  # noqa: S105


async def check_request(partner: Partner, request: SignedRequest, *, takes_nonce: bool = True, came: str = "") -> None:
    """Checks the signature of a request that has one, or that must have one, and uses its nonce up.

    The caller has read the body and changed nothing yet. It has counted the request, because a nonce costs memory of
    Redis. A request whose parts will all be refused takes no nonce (`takes_nonce`). `came` is when our proxy got it, as
    in `nonces.is_first_use`. Refuses SIGNATURE_REQUIRED, BAD_SIGNATURE, CLOCK_SKEW, NONCE_REUSED. Raises GateDown if
    Redis cannot remember the nonce.
    """
    if not request.signature:
        detail = f"This channel's writes need the headers {SIGNATURE}, {TIMESTAMP} and {NONCE}."
        raise Refused(Outcome.SIGNATURE_REQUIRED, detail if partner.sealed else NO_SECRET)
    if not partner.sealed:
        raise Refused(Outcome.BAD_SIGNATURE, NO_SECRET)
    try:
        secret = _secret_in(partner.sealed)
    except InvalidToken:
        log.error("the signing secret of a partner key cannot be decrypted", key=partner.key)  # noqa: TRY400
        raise Refused(Outcome.BAD_SIGNATURE, "Our server cannot read this key's signing secret.") from None
    valid_s = check_signature(secret, request, now=wall_clock.now_s())
    nonce = request.nonce
    if takes_nonce and not await nonces.is_first_use(key=partner.key, nonce=nonce, valid_s=valid_s, came=came):
        raise Refused(
            Outcome.NONCE_REUSED,
            f"A request with this {NONCE} was accepted before. To repeat a call, sign it again with a new nonce and "
            "the same Idempotency-Key.",
        )


def must_check(partner: Partner, *, signature: str, writes: bool) -> bool:
    """Whether :func:`check_request` has to be called for this request."""
    return bool(signature) or (writes and partner.signatures_required)


# Decrypting costs more than checking the signature.
_secret_in = lru_cache(maxsize=4096)(PartnerKey.secret_in)
