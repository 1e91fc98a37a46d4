"""Seals the secret of a draw until it is published, so that a reader of the database cannot compute the numbers.

A sale keeps its secret encrypted (AES-256-GCM) until the draw, under a key that is derived from FLASHSALE_CONTACT_KEY
and is not in the database. The commitment of the sale is authenticated with it, so a sealed secret of another sale is
refused.
"""

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

KEY_PURPOSE = b"flashsale/draw-secret/v1"
NONCE_BYTES = 12


class SecretUnreadable(Exception):
    """The secret of a draw cannot be decrypted with the key of this server."""


def seal(secret: bytes, *, commitment: str) -> bytes:
    """The encrypted secret of the sale with this commitment."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher().encrypt(nonce, secret, commitment.encode())


def unseal(sealed: bytes, *, commitment: str) -> bytes:
    """The secret. Raises SecretUnreadable when it was sealed with another key or for another sale."""
    try:
        return _cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], commitment.encode())
    except (InvalidTag, ValueError) as error:
        raise SecretUnreadable(
            "The secret of the draw cannot be decrypted. Expected: the FLASHSALE_CONTACT_KEY with which the sale was "
            "published, and the row of the sale as it was published. Set that key on every server. If the key is lost, "
            "call the sale off and publish a new one."
        ) from error


def _cipher() -> AESGCM:
    return AESGCM(hmac.digest(settings.FLASHSALE_CONTACT_KEY, KEY_PURPOSE, hashlib.sha256))
