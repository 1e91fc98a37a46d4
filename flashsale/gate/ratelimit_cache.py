"""The Redis cache of the rate limits. When Redis does not answer, it makes django-ratelimit refuse."""

from contextlib import suppress
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis import ConnectionPool
from redis.connection import parse_url
from redis.exceptions import RedisError
from redis.sentinel import Sentinel, SentinelConnectionPool

from config import redis_address


class LimitsPool:
    """Makes the connections of the cache: to one server, or to the master that Sentinel names."""

    @staticmethod
    def from_url(url: str, **options: Any) -> ConnectionPool:
        """The pool of an address. Raises BadAddress."""
        address = redis_address.parse(url, name="LIMITS_URL")
        if address.kind == "cluster":
            raise redis_address.BadAddress("LIMITS_URL is a Redis Cluster. Expected: one server, or Sentinel.")
        if address.kind == "server":
            return ConnectionPool.from_url(url, **options)
        known: dict[str, Any] = dict(parse_url(address.url))
        kept = {name: value for name, value in known.items() if name not in {"host", "port", "connection_class"}}
        limits = {name: value for name, value in options.items() if name.startswith("socket_")}
        tls = {name: value for name, value in kept.items() if name.startswith("ssl_")}
        asks = {"username": address.sentinel_username or None, "password": address.sentinel_password or None}
        sentinel = Sentinel(address.hosts, sentinel_kwargs={**limits, **tls, **asks, "ssl": address.tls})
        return SentinelConnectionPool(address.master, sentinel, ssl=address.tls, **{**options, **kept})


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
