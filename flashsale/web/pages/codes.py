"""One-time codes: a shopper proves a phone number and an e-mail address, and we store neither.

The page answers as soon as the codes are queued (life/send_codes.py), and then asks where they stand. The browser keeps
a sealed challenge, and after the right code a sealed proof. We store only counts: how many codes a browser, an IP
address and a contact (by its digest) requested, and how often a code was guessed. The response is the same for a known
and an unknown contact.
"""

import hmac
import secrets
from collections.abc import Mapping

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import get_language

from flashsale.gate import bridge
from flashsale.gate.sale_card import SaleCard
from flashsale.life import places, send_codes
from flashsale.life.enter import digest_identity
from flashsale.providers import messages
from flashsale.rules import proof_of_work, wall_clock
from flashsale.rules.identity import Axis, BadValue, message_address, mobile_country
from flashsale.rules.one_time_code import read_code
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.proof_of_work import Solution
from flashsale.rules.tokens import CODE_NONCE_BYTES, Challenge, Proof, TokenRefused, code_digits, code_mac
from flashsale.web import browser_cookie, limits
from flashsale.web.client_ip import address_of, client_network, customer_network
from flashsale.web.hot import proofs
from flashsale.web.pages import code_texts, repeats
from flashsale.web.pages.json_views import json_post, text_fields

log = structlog.get_logger(__name__)
KIND = "challenge"
VALID_MS = send_codes.VALID_MS
# A slow phone solves a puzzle in far less time. The clocks of web processes may differ a little.
PUZZLE_S = 5 * 60
CLOCKS_DIFFER_S = 60
PROOF_S = 30 * 24 * 60 * 60
# After so many ms the page asks again where a code stands.
ASK_MS = 3000
PROVABLE = frozenset({Axis.PHONE, Axis.EMAIL})


def can_prove(*, card: SaleCard) -> bool:
    """Whether our page can prove every axis that this sale requires to enter: phone and e-mail, if codes go there."""
    return all(axis in PROVABLE and messages.senders_to(axis) for axis in card.hard_at_enter)


@json_post
def puzzle(request: HttpRequest, code: str) -> HttpResponse:  # noqa: ARG001
    """A puzzle for a browser that wants a code. It is signed, so nothing is stored for it."""
    return new_puzzle(bridge.run(places.sale_card(code=code)))


def new_puzzle(card: SaleCard) -> HttpResponse:
    """The response with a puzzle of this campaign; refuses NOT_FOUND if it needs none."""
    if not card.codes_need_work:
        raise Refused(Outcome.NOT_FOUND, "This sale sends codes without a puzzle.")
    return JsonResponse(proof_of_work.puzzle(_puzzle_key(card), expires_s=wall_clock.now_ms() // 1000 + PUZZLE_S))


def _puzzle_key(card: SaleCard) -> bytes:
    return hmac.digest(settings.FLASHSALE_PEPPER, f"puzzle/{card.campaign}".encode(), "sha256")


def solution(card: SaleCard, payload: str) -> Solution | None:
    """The puzzle that this request has solved, None if the sale needs none. Refuses UNSOLVED and changes nothing."""
    if not card.codes_need_work:
        return None
    try:
        return proof_of_work.solution(_puzzle_key(card), payload, now_s=wall_clock.now_ms() / 1000)
    except proof_of_work.Unsolved as error:
        raise Refused(Outcome.UNSOLVED, f"work: {error}.") from error


def _spend(solved: Solution | None) -> None:
    """Uses a solved puzzle up. Redis keeps it until it has expired, so it counts once; refuses UNSOLVED later."""
    if solved is None:
        return
    keep_s = solved.expires_s - wall_clock.now_ms() // 1000 + CLOCKS_DIFFER_S
    if not limits.is_first_use("puzzle", solved.challenge, keep_s=keep_s):
        raise Refused(Outcome.UNSOLVED, "work: used before.")


@json_post
@repeats.answered_once
def send(request: HttpRequest, code: str) -> HttpResponse:
    """Queues a code to each contact of the body; responds with the sealed challenges by axis, and where they go.

    The same request with the same Idempotency-Key gets the same challenges, and no second message.
    In a campaign that asks for it, "work" is the solution of a puzzle. The checks that need no store come first.
    """
    card = bridge.run(places.sale_card(code=code))
    if not can_prove(card=card):
        raise Refused(Outcome.FORBIDDEN, "This sale cannot be entered by our page.")
    contacts = text_fields(request, *(axis.value for axis in card.hard_at_enter), "work")
    solved = solution(card, contacts.pop("work"))
    digests = digest_identity(card=card, values={Axis(name): value for name, value in contacts.items()})
    _refuse_unreachable(card, contacts)
    _spend(solved)
    _enforce_limits(request, [digest.hex() for digest in digests.values()])
    if Axis.PHONE in digests:
        _spend_budget(request)
    challenges, where = {}, {}
    for axis, digest in digests.items():
        challenges[axis.value], progress = _challenge(card, axis, digest, contacts[axis])
        where[axis.value] = code_texts.progress_text(progress, zone=card.time_zone)
    return JsonResponse({"challenges": challenges, "sent": where, "after": ASK_MS})


@json_post
def sent(request: HttpRequest, code: str) -> HttpResponse:
    """How far the codes of these challenges are, as texts; "after" is 0 when nothing can change any more."""
    card = bridge.run(places.sale_card(code=code))
    texts, moving = {}, False
    for axis, token in text_fields(request, *PROVABLE).items():
        if challenge := open_challenge(KIND, token):
            progress = bridge.run(send_codes.standing(nonce=challenge.nonce))
            texts[axis] = code_texts.progress_text(progress, zone=card.time_zone)
            moving = moving or not (progress is None or progress.is_final)
    return JsonResponse({"sent": texts, "after": ASK_MS if moving else 0})


def _refuse_unreachable(card: SaleCard, contacts: Mapping[str, str]) -> None:
    """Refuses BAD_IDENTITY before anything is counted.

    A phone must be a mobile of the campaign's countries, and a mailbox must be one that e-mails can reach.
    """
    try:
        reachable = {name: message_address(Axis(name), value) for name, value in contacts.items()}
    except BadValue as error:
        raise Refused(Outcome.BAD_IDENTITY, f"{error.axis.value}: {error}") from error
    phone = reachable.get(Axis.PHONE.value)
    if phone and mobile_country(phone) not in card.code_countries:
        countries = ", ".join(card.code_countries)
        raise Refused(Outcome.BAD_IDENTITY, f"phone: codes go to mobile numbers of {countries} only.")


def _spend_budget(request: HttpRequest) -> None:
    """Counts one text message of the day's budget; refuses NOT_READY beyond it, and logs an alarm before."""
    budget = limits.codes_a_day()
    used = limits.count(request, budget, "all")
    if used.counted and used.count in {budget.max_calls * 4 // 5, budget.max_calls + 1}:
        log.error("codes_budget", used=used.count, budget=budget.max_calls, setting="FLASHSALE_CODES_PER_DAY")
    if used.exceeded:
        raise Refused(Outcome.NOT_READY, "The day's budget of text messages is used up.", max(1, used.resets_in_s))


def _enforce_limits(request: HttpRequest, contacts: list[str]) -> None:
    """Counts by IP address, by browser, and by contact. The IP address still counts if the cookie was deleted."""
    address = address_of(request)
    limits.enforce(request, limits.CODES_ADDRESS)
    if browser := browser_cookie.browser_id(request):
        limits.enforce(request, limits.CODES_BROWSER, browser)
    for contact in contacts:
        limits.enforce(request, limits.CODES_CONTACT, f"{client_network(address)} {contact}")
        limits.enforce(request, limits.CODES_CUSTOMER, f"{customer_network(address)} {contact}")
    # What all networks share comes last, because a network that is over its own limit must not use it up.
    for contact in contacts:
        limits.enforce(request, limits.CODES_PAUSE, contact)
        limits.enforce(request, limits.CODES_CEILING, contact)


def send_code(
    request: HttpRequest,
    *,
    card: SaleCard,
    axis: Axis,
    digest: bytes,
    contact: str,
    kind: str,
    solved: Solution | None = None,
) -> str:
    """Queues one code within the limits; returns the sealed challenge. Refuses as `send` does.

    `solved` is the puzzle that a person has solved who is not known yet (`solution`).
    """
    _refuse_unreachable(card, {axis.value: contact})
    _spend(solved)
    _enforce_limits(request, [digest.hex()])
    if axis is Axis.PHONE:
        _spend_budget(request)
    return _challenge(card, axis, digest, contact, kind)[0]


def _challenge(
    card: SaleCard, axis: Axis, digest: bytes, contact: str, kind: str = KIND
) -> tuple[str, send_codes.Standing]:
    nonce = secrets.token_bytes(CODE_NONCE_BYTES)
    to, language = message_address(axis, contact), (get_language() or "id")[:2]
    progress = bridge.run(send_codes.accept(nonce=nonce, axis=axis, to=to, sale=card.name, language=language))
    mac = code_mac(settings.FLASHSALE_PEPPER, code_digits(settings.FLASHSALE_PEPPER, nonce), nonce)
    challenge = Challenge(card.campaign, axis, digest, mac, wall_clock.now_ms() + VALID_MS, nonce)
    return places.keyring().seal(kind, challenge.pack()), progress


@json_post
def prove(request: HttpRequest, code: str) -> HttpResponse:
    """Checks challenge and code of each axis ("phone", "phone_code", …). If all are right, sets the proof cookies."""
    card = bridge.run(places.sale_card(code=code))
    axes = [axis.value for axis in card.hard_at_enter]
    fields = text_fields(request, *axes, *(f"{axis}_code" for axis in axes))
    # All texts are read first, because a text without a code is not a guess and must not count as one.
    typed = {axis: _read(axis, fields[f"{axis}_code"]) for axis in card.hard_at_enter}
    proven = [_proof(request, card, axis, fields[axis], typed[axis]) for axis in card.hard_at_enter]
    response = JsonResponse({"proven": axes})
    for name in proofs.stale_cookies(campaign=card.campaign, cookies=request.COOKIES):
        response.delete_cookie(name, samesite="Lax")
    for proof in proven:
        name, token = proofs.cookie_name(proof.campaign, proof.axis), places.keyring().seal(proofs.KIND, proof.pack())
        response.set_cookie(
            name, token, max_age=PROOF_S, secure=not settings.FLASHSALE_DEMO, httponly=True, samesite="Lax"
        )
    return response


def _read(axis: Axis, typed: str) -> str:
    code = read_code(typed)
    if not code:
        raise Refused(Outcome.WRONG_CODE, axis.value)
    return code


def _proof(request: HttpRequest, card: SaleCard, axis: Axis, token: str, code: str) -> Proof:
    challenge = open_challenge(KIND, token)
    if challenge is None or (challenge.campaign, challenge.axis) != (card.campaign, axis):
        raise Refused(Outcome.WRONG_CODE, axis.value)
    _check(request, challenge, code)
    return Proof(card.campaign, axis, challenge.digest, wall_clock.now_ms())


def open_challenge(kind: str, token: str) -> Challenge | None:
    """The challenge in a token of this kind; None if it is not valid, or not valid any more."""
    try:
        challenge = Challenge.unpack(places.keyring().open(kind, token))
    except TokenRefused:
        return None
    return challenge if wall_clock.now_ms() < challenge.expires_ms else None


def check_code(request: HttpRequest, *, kind: str, token: str, code: str) -> None:
    """Checks a typed code against a challenge of :func:`send_code`; refuses WRONG_CODE, TOO_MANY_REQUESTS."""
    challenge = open_challenge(kind, token)
    if challenge is None:
        raise Refused(Outcome.WRONG_CODE)
    _check(request, challenge, _read(challenge.axis, code))


def _check(request: HttpRequest, challenge: Challenge, code: str) -> None:
    _count_guess(request, challenge, code)
    if not hmac.compare_digest(code_mac(settings.FLASHSALE_PEPPER, code, challenge.nonce), challenge.code_mac):
        raise Refused(Outcome.WRONG_CODE, challenge.axis.value)


def _count_guess(request: HttpRequest, challenge: Challenge, code: str) -> None:
    """Counts a guess. The same guess under the same Idempotency-Key is a repeat and counts once."""
    key, nonce = repeats.key_of(request), challenge.nonce.hex()
    guess = f"{nonce}/{key}/{code}"
    if key and limits.was_used("guess", guess):
        return
    limits.enforce(request, limits.CODE_GUESSES, nonce)
    limits.is_first_use("guess", guess, keep_s=VALID_MS // 1000)
