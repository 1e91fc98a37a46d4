"""Sessions of staff, stored so that a reader of the database cannot use them, and short.

The table has a keyed hash of the cookie in place of the cookie, and the hash is part of the signature of the data. So a
row opens nothing by itself, and the data of one row is not valid in another row.
"""

import hmac
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

# A session ends 12 hours after it began, however much it is used. SESSION_COOKIE_AGE ends a session that is not used.
LONGEST = timedelta(hours=12)
# A request writes the time of the last use only if the stored one is older than this.
USE_IS_NOTED_AFTER = timedelta(minutes=1)
BEGAN = "_began"
STORED_KEY_LENGTH = 40  # of hex digits; the column has no more


class SessionStore(db.SessionStore):
    """Django's sessions in the database. `session_key` is the cookie; the table has only `stored_key` of it."""

    @property
    def began(self) -> datetime | None:
        """When the session was stored for the first time; None before."""
        began = self.get(BEGAN)
        return datetime.fromisoformat(began) if began else None

    @staticmethod
    def stored_key(session_key: str) -> str:
        """The keyed hash of a cookie. With another secret key, all sessions end."""
        key = hmac.digest(settings.SECRET_KEY.encode(), b"flashsale/sessions/v1", "sha256")
        return hmac.digest(key, session_key.encode(), "sha256").hex()[:STORED_KEY_LENGTH]

    @property
    def key_salt(self) -> str:
        """Binds the signature of the data to its row."""
        return f"flashsale.web.sessions.{self.stored_key(self.session_key or '')}"

    def _get_session_from_db(self) -> AbstractBaseSession | None:
        if self.session_key:
            found = self.model.objects.filter(
                session_key=self.stored_key(self.session_key), expire_date__gt=timezone.now()
            ).first()
            if found:
                return found
        self._session_key = None
        return None

    def load(self) -> dict[str, Any]:
        """The data of a session that has not ended; otherwise nothing. Notes the use, so that idle time starts anew."""
        row = self._get_session_from_db()
        data: dict[str, Any] = self.decode(row.session_data) if row else {}
        if row is None or BEGAN not in data or _end_of(data) <= timezone.now():
            self._session_key = None
            return {}
        idle_limit = timedelta(seconds=self.get_session_cookie_age())
        if row.expire_date < min(timezone.now() + idle_limit - USE_IS_NOTED_AFTER, _end_of(data)):
            self.modified = True
        return data

    def exists(self, session_key: str) -> bool:
        """Whether the table has a session of this cookie."""
        return super().exists(self.stored_key(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """The row to save. The first one sets the time at which the session began."""
        data.setdefault(BEGAN, timezone.now().isoformat())
        row = super().create_model_instance(data)
        row.session_key = self.stored_key(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        """Deletes the session of this cookie, by default the own one."""
        key = session_key or self.session_key
        if key:
            super().delete(self.stored_key(key))

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """The end of the idle time, or of the longest time if that is earlier."""
        return min(super().get_expiry_date(**kwargs), _end_of(self))

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Seconds until the session ends."""
        return max(0, int((self.get_expiry_date(**kwargs) - timezone.now()).total_seconds()))

    # Django has each call twice. The asynchronous ones would use the cookie itself as the key.

    async def aload(self) -> dict[str, Any]:
        """As `load`."""
        return await sync_to_async(self.load)()

    async def aexists(self, session_key: str) -> bool:
        """As `exists`."""
        return await sync_to_async(self.exists)(session_key)

    async def asave(self, must_create: bool = False) -> None:
        """As `save`."""
        await sync_to_async(self.save)(must_create)

    async def adelete(self, session_key: str | None = None) -> None:
        """As `delete`."""
        await sync_to_async(self.delete)(session_key)


def _end_of(data: Any) -> datetime:
    """12 hours after the session began; a session that is not stored yet begins now."""
    began = data.get(BEGAN)
    return (datetime.fromisoformat(began) if began else timezone.now()) + LONGEST
