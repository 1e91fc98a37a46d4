"""Rows whose personal data is encrypted with a key outside the database."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
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
    def encrypt(data: Mapping[str, Any]) -> str:
        """The encrypted `data`, which is JSON, as `sealed` holds it."""
        return _cipher().encrypt(json.dumps(data).encode()).decode()

    @staticmethod
    def decrypt(sealed: str) -> dict[str, Any]:
        """The data in a `sealed`. Raises InvalidToken when it was encrypted with another key."""
        return dict(json.loads(_cipher().decrypt(sealed.encode())))

    def read(self) -> dict[str, Any]:
        """The decrypted data. Raises InvalidToken when it was encrypted with another key."""
        return self.decrypt(self.sealed)
