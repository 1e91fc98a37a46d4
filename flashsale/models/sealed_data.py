"""Rows whose personal data is encrypted with a key outside the database."""

import json
from base64 import urlsafe_b64encode
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import models


def _cipher() -> Fernet:
    return _cipher_of(settings.FLASHSALE_CONTACT_KEY)


@lru_cache(maxsize=2)
def _cipher_of(key: bytes) -> Fernet:
    return Fernet(urlsafe_b64encode(key))


class SealedData(models.Model):
    """A row with personal data, encrypted with FLASHSALE_CONTACT_KEY."""

    sealed = models.TextField(editable=False)

    class Meta:
        abstract = True

    @staticmethod
    def encrypt(data: dict[str, str]) -> str:
        """The encrypted `data`, as `sealed` holds it."""
        return _cipher().encrypt(json.dumps(data).encode()).decode()

    def read(self) -> dict[str, Any]:
        """The decrypted data. Raises InvalidToken when it was encrypted with another key."""
        return dict(json.loads(_cipher().decrypt(self.sealed.encode())))
