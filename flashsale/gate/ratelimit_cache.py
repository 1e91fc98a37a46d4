"""The Redis cache of the rate limits. When Redis does not answer, it makes django-ratelimit refuse."""

from contextlib import suppress
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError


class RefusingRedisCache(RedisCache):
    """Django's Redis cache; when Redis does not answer, it returns what django-ratelimit takes as a refusal."""

    def add(self, *args: Any, **kwargs: Any) -> bool:
        """False when Redis does not answer, as if the key were there already."""
        try:
            return bool(super().add(*args, **kwargs))
        except RedisError:
            return False

    def keep(self, key: str, value: bytes, seconds: int) -> None:
        """As `set`, but does nothing when Redis does not answer."""
        with suppress(RedisError):
            self.set(key, value, seconds)

    def forget(self, key: str) -> None:
        """As `delete`, but does nothing when Redis does not answer."""
        with suppress(RedisError):
            self.delete(key)

    def incr(self, *args: Any, **kwargs: Any) -> int:
        """The new count. Raises ValueError when there is no key or no answer."""
        try:
            return int(super().incr(*args, **kwargs))
        except RedisError as error:
            raise ValueError("Redis does not answer") from error

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """None when Redis does not answer, even if there is a default: the default would count as zero calls."""
        try:
            return super().get(*args, **kwargs)
        except RedisError:
            return None
