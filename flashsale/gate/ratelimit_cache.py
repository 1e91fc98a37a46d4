"""The cache that limits count in: when Redis cannot answer, nothing was added and nothing can be counted."""

from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError


class RefusingRedisCache(RedisCache):
    """Django's Redis cache, with "cannot answer" told in the words that django-ratelimit takes as a refusal."""

    def add(self, *args: Any, **kwargs: Any) -> bool:
        """False when Redis cannot answer: as if somebody else had added the key."""
        try:
            return bool(super().add(*args, **kwargs))
        except RedisError:
            return False

    def incr(self, *args: Any, **kwargs: Any) -> int:
        """The new count; ValueError when there is no key or no answer."""
        try:
            return int(super().incr(*args, **kwargs))
        except RedisError as error:
            raise ValueError("Redis cannot answer") from error

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """None when Redis cannot answer, whatever the default: a default would count as zero calls."""
        try:
            return super().get(*args, **kwargs)
        except RedisError:
            return None
