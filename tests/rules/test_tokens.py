"""A token opens as the data that was sealed, or it is refused."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules import tokens
from flashsale.rules.identity import Axis
from flashsale.rules.tokens import Challenge, Keyring, Place, Proof, TokenRefused, code_mac

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
RING = Keyring({1: OLD, 2: NEW}, current=2)
IDS = st.integers(0, 2**64 - 1)
DIGESTS = st.binary(min_size=16, max_size=16)
AXES = st.sampled_from(Axis)
PLACES = st.builds(
    Place, sale=IDS, line=IDS, index=IDS, made_ms=IDS, digests=st.dictionaries(AXES, DIGESTS, max_size=len(Axis))
)
PROOFS = st.builds(Proof, campaign=IDS, axis=AXES, digest=DIGESTS, made_ms=IDS)
CHALLENGES = st.builds(
    Challenge,
    campaign=IDS,
    axis=AXES,
    digest=DIGESTS,
    code_mac=DIGESTS,
    expires_ms=IDS,
    nonce=st.binary(min_size=8, max_size=8),
)
PLACE = Place(
    sale=7, line=3, index=1840, made_ms=1_611_628_800_000, digests={Axis.PHONE: b"p" * 16, Axis.EMAIL: b"e" * 16}
)
# Sealed with key 1 and a nonce of twelve "n".
KNOWN = (
    "fs1.AW5ubm5ubm5ubm5ubqdbF2m1XLf4ayxqWulL143_fu48IljGwdDe3tyObAqreL1WGW_5hDQNgj08"
    "oq3XW5IgytmLHFWc4HAPkkEJqF0F8xc_-w0DbKkphlE-RV6ih7g"
)


@given(st.one_of(PLACES, PROOFS, CHALLENGES))
def test_what_was_sealed_comes_back(thing: Place | Proof | Challenge) -> None:
    kind = type(thing).__name__
    assert type(thing).unpack(RING.open(kind, RING.seal(kind, thing.pack()))) == thing


def test_format_never_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "RAND_bytes", lambda size: b"n" * size)
    assert Keyring({1: OLD}, current=1).seal("place", PLACE.pack()) == KNOWN
    assert Place.unpack(RING.open("place", KNOWN)) == PLACE


def test_place_with_every_axis_fits_into_a_cookie() -> None:
    place = Place(2**64 - 1, 2**64 - 1, 2**64 - 1, 2**64 - 1, dict.fromkeys(Axis, b"d" * 16))
    assert len(RING.seal("place", place.pack())) == 267


@given(bit=st.integers(0, 8 * len(KNOWN) - 1))
def test_token_with_one_bit_flipped_is_refused(bit: int) -> None:
    letters = bytearray(KNOWN.encode())
    letters[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(TokenRefused):
        RING.open("place", letters.decode("latin-1"))


@given(st.text(max_size=600).map(lambda text: f"fs1.{text}"))
def test_any_other_text_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        RING.open("place", token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "fs1.",
        "fs1.A",
        "fs2." + KNOWN[4:],
        KNOWN + "=",
        KNOWN + "A",
        KNOWN + "\n",
        KNOWN[:-1],
        KNOWN[:20] + " " + KNOWN[20:],
        KNOWN + "A" * 512,
        "fs1." + urlsafe_b64encode(bytes(300)).decode(),
    ],
)
def test_token_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        RING.open("place", token)


def test_token_of_another_kind_is_refused() -> None:
    with pytest.raises(TokenRefused):
        RING.open("proof", KNOWN)


def test_token_of_another_key_is_refused() -> None:
    with pytest.raises(TokenRefused):
        Keyring({1: NEW}, current=1).open("place", KNOWN)


def test_key_id_is_sealed_even_where_two_ids_share_a_key() -> None:
    sealed = bytearray(b"\x01" + b"n" * 12)
    ring = Keyring({1: OLD, 2: OLD}, current=1)
    body = ring._ciphers[1].encrypt(b"n" * 12, b"x", b"fs1.1.place")
    for kid, opens in ((1, True), (2, False)):
        sealed[0] = kid
        token = "fs1." + urlsafe_b64encode(bytes(sealed) + body).rstrip(b"=").decode()
        if opens:
            assert ring.open("place", token) == b"x"
        else:
            with pytest.raises(TokenRefused):
                ring.open("place", token)


def test_old_key_opens_until_it_is_taken_out() -> None:
    assert Place.unpack(RING.open("place", KNOWN)) == PLACE
    with pytest.raises(TokenRefused):
        Keyring({2: NEW}, current=2).open("place", KNOWN)


def test_payload_too_long_for_a_token_is_not_sealed() -> None:
    assert len(RING.seal("place", bytes(352))) == 512
    with pytest.raises(ValueError, match="too long"):
        RING.seal("place", bytes(353))


@pytest.mark.parametrize("keys", [{}, {2: NEW}, {1: b"short"}, {1: OLD, 256: NEW}], ids=repr)
def test_ring_without_a_usable_current_key_is_refused(keys: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        Keyring(keys, current=1)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        PLACE.pack()[:-1],
        PLACE.pack()[:31],
        PLACE.pack() + b"\x09" + b"d" * 16,
        PLACE.pack() + b"\x01" + b"d" * 16,
    ],
    ids=["nothing", "half a digest", "half a head", "an unknown axis", "an axis twice"],
)
def test_payload_is_no_place(payload: bytes) -> None:
    with pytest.raises(TokenRefused):
        Place.unpack(payload)


@pytest.mark.parametrize("kind", [Proof, Challenge])
@pytest.mark.parametrize("payload", [b"", bytes(33), bytes(57), PLACE.pack()], ids=len)
def test_payload_is_no_proof_and_no_challenge(kind: type[Proof | Challenge], payload: bytes) -> None:
    with pytest.raises(TokenRefused):
        kind.unpack(payload)


@pytest.mark.parametrize("size", [15, 17])
def test_digest_of_another_size_is_never_packed(size: int) -> None:
    things = (
        Place(1, 1, 1, 1, {Axis.PHONE: bytes(size)}),
        Proof(1, Axis.PHONE, bytes(size), 1),
        Challenge(1, Axis.PHONE, bytes(size), bytes(16), 1, bytes(8)),
        Challenge(1, Axis.PHONE, bytes(16), bytes(size), 1, bytes(8)),
    )
    for thing in things:
        with pytest.raises(ValueError, match="16 bytes"):
            thing.pack()


def test_code_is_recognised_only_with_its_key_and_nonce() -> None:
    mac = code_mac(OLD, "123456", b"nonce..8")
    assert mac.hex() == "138d0bd6d83003ef1e7e8def4b124a7f"
    assert mac not in {
        code_mac(NEW, "123456", b"nonce..8"),
        code_mac(OLD, "123457", b"nonce..8"),
        code_mac(OLD, "123456", b"nonce..9"),
    }
