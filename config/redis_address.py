"""Addresses of Redis: one server, the master that Sentinel names, or a Redis Cluster. Knows no Redis client.

    redis://:password@host:6379/0                                       one server, or the endpoint of a managed one
    redis+sentinel://:password@host:26379,host:26379/0?master=NAME      the sentinels, and the name of their master
    redis+cluster://:password@host:6379,host:6379                       some nodes of a Redis Cluster

`rediss`, `rediss+sentinel` and `rediss+cluster` use TLS. Redis' own options of a URL (`ssl_ca_certs` and so on) follow
after the question mark. User and password of the sentinels are `sentinel_username` and `sentinel_password`.
"""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured

FORMS = (
    "redis://:password@host:6379/0, redis+sentinel://:password@host:26379,host:26379/0?master=NAME "
    "or redis+cluster://:password@host:6379,host:6379"
)
PORTS = {"server": 6379, "sentinel": 26379, "cluster": 6379}


class BadAddress(ImproperlyConfigured):
    """The address cannot be read. The text says what was found and what is expected, without the password."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is.

    `url` is an address that a Redis client reads: of the server itself, or of the first host. `master`, `username` and
    `password` are for Sentinel: the name of the master, and who asks the sentinels.
    """

    kind: Literal["server", "sentinel", "cluster"]
    url: str = field(repr=False)
    hosts: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_username: str = field(default="", repr=False)
    sentinel_password: str = field(default="", repr=False)

    def url_of(self, host: str, port: int) -> str:
        """The address of another host with the same user, password, database and options."""
        parts = urlsplit(self.url)
        who, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{who}{at}{_bracketed(host)}:{port}").geturl()

    @property
    def tls(self) -> bool:
        """Whether the connections use TLS."""
        return self.url.startswith("rediss:")


def parse(url: str, *, name: str = "REDIS_URL") -> RedisAddress:
    """Reads an address. Raises :class:`BadAddress`, which names the setting `name`."""
    scheme, separator, rest = url.partition("://")
    plain, _, form = scheme.partition("+")
    if not form:
        return RedisAddress("server", url)
    if not separator or plain not in {"redis", "rediss"} or form not in {"sentinel", "cluster"}:
        raise BadAddress(f"{name} begins with {scheme}://. Expected: {FORMS}.")
    kind: Literal["sentinel", "cluster"] = "sentinel" if form == "sentinel" else "cluster"
    netloc, path, query = _split(rest)
    who, at, hosts_text = netloc.rpartition("@")
    hosts = tuple(_host(text, PORTS[kind], name) for text in hosts_text.split(","))
    options = dict(parse_qsl(query))
    master = options.pop("master", "")
    if kind == "sentinel" and not master:
        raise BadAddress(f"{name} has no master=. Expected: the name of the master, as the sentinels call it.")
    if kind == "cluster" and path.strip("/") not in {"", "0"}:
        raise BadAddress(f"{name} names the database {path.strip('/')}. A Redis Cluster has only the database 0.")
    user, word = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    tail = f"?{urlencode(options)}" if options else ""
    first = f"{plain}://{who}{at}{_bracketed(hosts[0][0])}:{hosts[0][1]}/{path.strip('/') or 0}{tail}"
    return RedisAddress(kind, first, hosts, master, user, word)


def broker_of(url: str) -> str:
    """The default broker: database 1 of the same server. In production BROKER_URL names a server of its own.

    Raises :class:`BadAddress` for a Redis Cluster, which has one database.
    """
    if "+cluster://" in url:
        raise BadAddress("REDIS_URL is a Redis Cluster. Celery needs a server of its own: set BROKER_URL.")
    address, _, query = url.partition("?")
    if url.startswith("unix://"):
        return "redis+socket://" + address.removeprefix("unix://") + "?virtual_host=1"
    kept = query if "+sentinel://" in url else "&".join(part for part in query.split("&") if part.startswith("ssl_"))
    return address.rstrip("/").removesuffix("/0") + "/1" + (f"?{kept}" if kept else "")


def limits_of(url: str) -> str:
    """The default Redis of the rate limits: the one of the sales. Raises :class:`BadAddress` for a Redis Cluster."""
    if "+cluster://" in url:
        raise BadAddress("REDIS_URL is a Redis Cluster. The rate limits need a server of their own: set LIMITS_URL.")
    return url


def celery_url(url: str, *, name: str = "BROKER_URL") -> tuple[str, dict[str, object]]:
    """The address of a broker as Celery wants it, and the options of its transport. Raises :class:`BadAddress`.

    Celery knows one server and Sentinel, but no Redis Cluster. With Sentinel, it knows no TLS. It would accept every
    certificate if the address did not ask for a check.
    """
    if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required", {}
    if not any(f"+{form}://" in url for form in ("sentinel", "cluster")):
        return url, {}
    address = parse(url, name=name)
    if address.kind == "cluster":
        raise BadAddress(f"{name} is a Redis Cluster, which Celery does not know. Give Celery a server of its own.")
    if address.tls:
        raise BadAddress(
            f"{name} uses TLS with Sentinel, which Celery does not know. Use rediss:// and a primary endpoint."
        )
    parts = urlsplit(address.url)
    who, at, _ = parts.netloc.rpartition("@")
    sentinels = ";".join(f"sentinel://{who}{at}{_bracketed(host)}:{port}{parts.path}" for host, port in address.hosts)
    known = {"username": address.sentinel_username, "password": address.sentinel_password}
    return sentinels, {
        "master_name": address.master,
        "sentinel_kwargs": {key: value for key, value in known.items() if value},
    }


def _split(rest: str) -> tuple[str, str, str]:
    # urlsplit reads the port at once and refuses a list of hosts.
    before, _, query = rest.partition("?")
    netloc, slash, path = before.partition("/")
    return netloc, slash + path, query


def _host(text: str, port: int, name: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, known = parts.hostname, parts.port
    except ValueError as error:
        raise BadAddress(f"{name} names the host {text!r}: {error}. Expected: {FORMS}.") from error
    if not host:
        raise BadAddress(f"{name} names an empty host. Expected: {FORMS}.")
    return host, known or port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host)
