"""Sealed tokens: data that a shopper carries, so that the servers need not store it.

A token is "fs1." and base64url of: key id (1 byte), nonce (12), AES-256-GCM ciphertext with its tag. The format, the
key id and the kind are authenticated too, so a token of one kind never opens as another kind. Numbers in payloads are
big-endian.
"""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from ssl import RAND_bytes
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flashsale.rules.identity import AXIS_ID, DIGEST_BYTES, Axis

PREFIX = "fs1."
TOKEN_CHARS_MAX = 512
KEY_BYTES = 32
NONCE_BYTES = 12
CODE_MAC_BYTES = 16
CODE_NONCE_BYTES = 8
_CODE_TAG = b"flashsale/code/v1"
_DIGITS_TAG = b"flashsale/code-digits/v1"
_AXIS = {number: axis for axis, number in AXIS_ID.items()}
_MARK = {axis: bytes([number]) for axis, number in AXIS_ID.items()}
# Marks an axis on which only a partner says that the digest is the owner's.
_WORD_BIT = 128
_WORD_MARK = {axis: bytes([number | _WORD_BIT]) for axis, number in AXIS_ID.items()}


class TokenRefused(ValueError):
    """The token was not made by us, or is of another kind. The error does not say which: it could help an attacker."""


class Keyring:
    """The keys by id.

    The current key seals; all keys of the ring open, so that older tokens stay valid after a rotation.
    """

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        if current not in keys:
            raise ValueError("the current key is not on the ring")
        if any(not 0 <= kid <= 255 or len(key) != KEY_BYTES for kid, key in keys.items()):
            raise ValueError(f"key ids are 0 to 255 and keys {KEY_BYTES} bytes")
        self._ciphers = {kid: AESGCM(key) for kid, key in keys.items()}
        self._current = current

    def seal(self, kind: str, payload: bytes) -> str:
        """Makes a token of this kind. Raises ValueError when the token would be longer than 512 characters."""
        # OpenSSL's generator is used, because the system's (os.urandom) releases the interpreter's lock for each token
        # and the thread of the hot door then waits for other threads.
        nonce = RAND_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, payload, _bound(kind, self._current))
        token = PREFIX + _encode(bytes([self._current]) + nonce + sealed)
        if len(token) > TOKEN_CHARS_MAX:
            raise ValueError("the payload is too long for a token")
        return token

    def open(self, kind: str, token: str) -> bytes:
        """The payload of a token of this kind. Raises TokenRefused for any other text."""
        sealed = _decode(token)
        kid, nonce, ciphertext = sealed[0], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._ciphers[kid].decrypt(nonce, ciphertext, _bound(kind, kid))
        except (KeyError, InvalidTag) as error:
            raise TokenRefused from error


@cache
def _bound(kind: str, kid: int) -> bytes:
    return f"{PREFIX}{kid}.{kind}".encode()


def _encode(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _decode(token: str) -> bytes:
    if len(token) > TOKEN_CHARS_MAX or not token.startswith(PREFIX):
        raise TokenRefused
    text = token[len(PREFIX) :]
    try:
        sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (NotBase64, ValueError) as error:
        raise TokenRefused from error
    # The decoder ignores foreign characters and unused bits. Each token must have only one spelling.
    if len(sealed) <= NONCE_BYTES or _encode(sealed) != text:
        raise TokenRefused
    return sealed


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a line: sale, line, index, the digests of its owner, and when it was given (Unix time in ms).

    `by_code`: one-time codes proved the digests; else a partner says that they are the owner's.
    """

    sale: int
    line: int
    index: int
    made_ms: int
    digests: Mapping[Axis, bytes]
    by_code: bool = True

    def pack(self) -> bytes:
        """The payload of a place token."""
        head = _PLACE.pack(self.sale, self.line, self.index, self.made_ms)
        # Sorted by the axis id, which is the first byte of each part.
        marks = _MARK if self.by_code else _WORD_MARK
        return head + b"".join(sorted([marks[axis] + _sized(digest) for axis, digest in self.digests.items()]))

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The place in a payload. Raises TokenRefused."""
        try:
            pairs = list(_DIGEST.iter_unpack(payload[_PLACE.size :]))
            digests = {_AXIS[number & ~_WORD_BIT]: digest for number, digest in pairs}
            sale, line, index, made_ms = _PLACE.unpack_from(payload)
        except (struct.error, KeyError) as error:
            raise TokenRefused from error
        words = {number & _WORD_BIT for number, _ in pairs}
        if len(digests) != len(pairs) or len(words) > 1:
            raise TokenRefused
        return cls(sale, line, index, made_ms, digests, by_code=_WORD_BIT not in words)


@dataclass(frozen=True, slots=True)
class Proof:
    """A person has proven by a one-time code, in this campaign, that a value is theirs (`made_ms`: Unix time in ms)."""

    campaign: int
    axis: Axis
    digest: bytes
    made_ms: int

    def pack(self) -> bytes:
        """The payload of a proof token."""
        return _PROOF.pack(self.campaign, AXIS_ID[self.axis], _sized(self.digest), self.made_ms)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The proof in a payload. Raises TokenRefused."""
        try:
            campaign, number, digest, made_ms = _PROOF.unpack(payload)
            return cls(campaign, _AXIS[number], digest, made_ms)
        except (struct.error, KeyError) as error:
            raise TokenRefused from error


@dataclass(frozen=True, slots=True)
class Challenge:
    """A one-time code that was sent: what it proves, how to recognise it, until when it is valid (Unix time in ms)."""

    campaign: int
    axis: Axis
    digest: bytes
    code_mac: bytes
    expires_ms: int
    nonce: bytes

    def pack(self) -> bytes:
        """The payload of a challenge token."""
        if len(self.code_mac) != CODE_MAC_BYTES or len(self.nonce) != CODE_NONCE_BYTES:
            raise ValueError("a code's mac has 16 bytes and its nonce 8")
        axis = AXIS_ID[self.axis]
        return _CHALLENGE.pack(self.campaign, axis, _sized(self.digest), self.code_mac, self.expires_ms, self.nonce)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The challenge in a payload. Raises TokenRefused."""
        try:
            campaign, number, digest, mac, expires_ms, nonce = _CHALLENGE.unpack(payload)
            return cls(campaign, _AXIS[number], digest, mac, expires_ms, nonce)
        except (struct.error, KeyError) as error:
            raise TokenRefused from error


@dataclass(frozen=True, slots=True)
class LetterLink:
    """The content of the link in a letter: the id of a row, and until when the link is valid (Unix time in ms)."""

    row: int
    until_ms: int

    def pack(self) -> bytes:
        """The payload of a letter link's token."""
        return _LINK.pack(self.row, self.until_ms)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The letter link in a payload. Raises TokenRefused."""
        try:
            return cls(*_LINK.unpack(payload))
        except struct.error as error:
            raise TokenRefused from error


_PLACE = struct.Struct(">QQQQ")
_DIGEST = struct.Struct(f">B{DIGEST_BYTES}s")
_LINK = struct.Struct(">QQ")
_PROOF = struct.Struct(f">QB{DIGEST_BYTES}sQ")
_CHALLENGE = struct.Struct(f">QB{DIGEST_BYTES}s{CODE_MAC_BYTES}sQ{CODE_NONCE_BYTES}s")


def _sized(digest: bytes) -> bytes:
    # struct cuts or pads a digest of another length without an error, and that would be another identity.
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes")
    return digest


def code_mac(key: bytes, code: str, nonce: bytes) -> bytes:
    """The 16 bytes by which a one-time code is recognised. The code itself is not stored."""
    return hmac.digest(key, _CODE_TAG + nonce + code.encode(), "sha256")[:CODE_MAC_BYTES]


def code_digits(key: bytes, nonce: bytes) -> str:
    """The six digits of the one-time code with this nonce. They are derived, so that no store has them."""
    return f"{int.from_bytes(hmac.digest(key, _DIGITS_TAG + nonce, 'sha256')) % 10**6:06d}"
