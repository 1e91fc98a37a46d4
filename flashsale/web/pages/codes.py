"""One-time codes: how a shopper shows to be reached at a phone and a mailbox, while we keep neither.

What is to be proven travels sealed, with the shopper. We remember only counts: how often a browser, an address and a
contact asked (by its digest), and how often a code was guessed. Answers are the same whether a contact is known or not.
"""

import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from flashsale.gate import bridge
from flashsale.gate.sale_card import SaleCard
from flashsale.life import places
from flashsale.life.enter import digests as digests_of
from flashsale.providers.messages import codes as sender
from flashsale.rules.identity import Axis, message_address
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import CODE_NONCE_BYTES, Challenge, Proof, TokenRefused, code_mac
from flashsale.web import browser_cookie, limits
from flashsale.web.client_ip import address_of, network, site
from flashsale.web.hot import proofs
from flashsale.web.pages.json_views import fields_of, json_post

KIND = "challenge"
VALID_MS = 10 * 60 * 1000
PROOF_S = 30 * 24 * 60 * 60
# Sending waits for servers of others, on threads that also confirm orders: so many of a process's eight and no more.
SENDING_MAX = 4
SENDING_AGAIN_S = 2
_sending = BoundedSemaphore(SENDING_MAX)
PROVABLE = frozenset({Axis.PHONE, Axis.EMAIL})


def provable(*, card: SaleCard) -> bool:
    """Whether our page can prove all that this sale demands at the door."""
    return set(card.hard_at_enter) <= PROVABLE


@json_post
def send(request: HttpRequest, code: str) -> HttpResponse:
    """Sends a code to each contact of the body and answers the sealed challenges, by axis."""
    card = bridge.run(places.card(code=code))
    if not provable(card=card):
        raise Refused(Outcome.FORBIDDEN, "This sale cannot be entered by our page.")
    contacts = fields_of(request, *(axis.value for axis in card.hard_at_enter))
    digests = digests_of(card=card, values={Axis(name): value for name, value in contacts.items()})
    with _turn():
        _spend(request, [digest.hex() for digest in digests.values()])
        sent = {axis.value: _challenge(card, axis, digest, contacts[axis]) for axis, digest in digests.items()}
    return JsonResponse({"challenges": sent})


@contextmanager
def _turn() -> Iterator[None]:
    """Refuses NOT_READY to one too many at once."""
    if not _sending.acquire(blocking=False):
        raise Refused(Outcome.NOT_READY, "Too many codes are being sent.", SENDING_AGAIN_S)
    try:
        yield
    finally:
        _sending.release()


def _spend(request: HttpRequest, contacts: list[str]) -> None:
    """Counts by address, by browser (who throws its cookie away has only the address left), and by contact."""
    address = address_of(request)
    limits.spend(request, limits.CODES_ADDRESS)
    if known := browser_cookie.of(request):
        limits.spend(request, limits.CODES_BROWSER, known)
    for contact in contacts:
        limits.spend(request, limits.CODES_CONTACT, f"{network(address)} {contact}")
        limits.spend(request, limits.CODES_SITE, f"{site(address)} {contact}")
        limits.spend(request, limits.CODES_CEILING, contact)


def _challenge(card: SaleCard, axis: Axis, digest: bytes, contact: str) -> str:
    code, nonce = f"{secrets.randbelow(10**6):06d}", secrets.token_bytes(CODE_NONCE_BYTES)
    try:
        sender.send(
            message=sender.Message(axis=axis.value, to=message_address(axis, contact), code=code, sale=card.name)
        )
    except sender.NotSent as error:
        raise Refused(Outcome.NOT_READY, "The code could not be sent.") from error
    mac = code_mac(settings.FLASHSALE_PEPPER, code, nonce)
    challenge = Challenge(card.campaign, axis, digest, mac, _now_ms() + VALID_MS, nonce)
    return places.keyring().seal(KIND, challenge.pack())


@json_post
def prove(request: HttpRequest, code: str) -> HttpResponse:
    """Takes challenge and code of every axis ("phone", "phone_code", …) and sets the proofs as cookies: all or none."""
    card = bridge.run(places.card(code=code))
    axes = [axis.value for axis in card.hard_at_enter]
    given = fields_of(request, *axes, *(f"{axis}_code" for axis in axes))
    proven = [_proof(request, card, axis, given[axis], given[f"{axis}_code"]) for axis in card.hard_at_enter]
    answer = JsonResponse({"proven": axes})
    for name in proofs.outworn(campaign=card.campaign, cookies=request.COOKIES):
        answer.delete_cookie(name, samesite="Lax")
    for proof in proven:
        name, token = proofs.cookie_of(proof.campaign, proof.axis), places.keyring().seal(proofs.KIND, proof.pack())
        answer.set_cookie(
            name, token, max_age=PROOF_S, secure=not settings.FLASHSALE_DEMO, httponly=True, samesite="Lax"
        )
    return answer


def _proof(request: HttpRequest, card: SaleCard, axis: Axis, token: str, code: str) -> Proof:
    wrong = Refused(Outcome.WRONG_CODE, axis.value)
    try:
        challenge = Challenge.unpack(places.keyring().open(KIND, token))
    except TokenRefused as error:
        raise wrong from error
    if (challenge.campaign, challenge.axis) != (card.campaign, axis) or _now_ms() >= challenge.expires_ms:
        raise wrong
    limits.spend(request, limits.CODE_GUESSES, challenge.nonce.hex())
    typed = code_mac(settings.FLASHSALE_PEPPER, code.strip(), challenge.nonce)
    if not hmac.compare_digest(typed, challenge.code_mac):
        raise wrong
    return Proof(card.campaign, axis, challenge.digest, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
