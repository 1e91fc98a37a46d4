"""A person whose data must not appear anywhere, and the search for it in each spelling and encoding."""

import hashlib
import re
import threading
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

import redis
from django.db import connection

PHONES = ("081298765432", "0812-9876-5432", "+62 812 9876 5432", "6281298765432", "０８１２９８７６５４３２")
EMAILS = ("burung.kenari@gmail.com", "Burung.Kenari+poco@GMAIL.com", "burungkenari@googlemail.com")
NAME = "Kenari Rahasiawati"
ADDRESS = "Jl. Sangkar Emas No. 4711, RT 03/RW 05, Kel. Kicau, Bandung 40123"
NATIONAL_ID = "3174092501904711"
ACCOUNT = "akun_kenari_77"
DEVICE = "perangkat-kenari-55"
PAYMENT = "kartu-kenari-4111"
INSTRUMENT = "tok_kenari_9f8e7d6c"
IP = "203.0.113.77"
BANK_NUMBER = "5471190033"

# The part that each spelling has, in lower case.
_TRACES = (
    b"81298765432", "８１２９８７６５４３２".encode(), b"\\uff18\\uff11\\uff12\\uff19\\uff18", b"burung.kenari",
    b"burungkenari", b"rahasiawati", b"sangkar emas", b"sangkaremas", b"kicau", NATIONAL_ID.encode(), b"akun_kenari",
    b"perangkat-kenari", b"perangkatkenari", b"kartu-kenari", b"kartukenari", b"tok_kenari",
    IP.encode(), BANK_NUMBER.encode(),
)  # fmt: skip
# A hash without a key hides nothing, because there are few phone numbers: one can hash them all.
_VALUES = (
    *PHONES, *EMAILS, "+6281298765432", "burungkenari@gmail.com", NAME, ADDRESS, NATIONAL_ID, ACCOUNT, DEVICE, PAYMENT,
    INSTRUMENT, IP, BANK_NUMBER, "sangkar emas 4711 rt 3 rw 5 kicau bandung 40123",
)  # fmt: skip
_BARE = [
    hashlib.new(kind, value.encode()).digest()
    for kind in ("md5", "sha1", "sha256") for value in _VALUES
]  # fmt: skip
_CODED = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-f]{2}){8,}")
_BETWEEN = re.compile(rb"[\s().+\-]")


def leaks(content: bytes) -> list[str]:
    """The person's data in this content: plain, in base64, hex or URL encoding, or as a hash without a key."""
    looks = [content, unquote_to_bytes(content), *_decoded(content)]
    looks += [again for look in list(looks) for again in _decoded(look)]
    lowered = [look.lower() for look in looks]
    lowered += [_BETWEEN.sub(b"", look) for look in lowered]
    found = {trace.decode() for trace in _TRACES if any(trace in look for look in lowered)}
    return sorted(found | {f"bare hash {bare.hex()}" for bare in _BARE if any(bare in look for look in looks)})


def _decoded(content: bytes) -> Iterator[bytes]:
    """Everything in the content that is base64 or hex, decoded and joined."""
    yield b"\n".join(_from_base64(run[start:]) for run in _CODED.findall(content) for start in range(4))
    yield b"\n".join(bytes.fromhex(run.decode()) for run in _HEX.findall(content.lower()))


def _from_base64(run: bytes) -> bytes:
    plain = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return b64decode(plain + b"=" * (-len(plain) % 4))
    except (NotBase64, ValueError):
        return b""


def in_redis(client: redis.Redis) -> bytes:
    """All keys and values of all databases of the Redis server."""
    found: list[bytes] = []
    for number in range(16):
        with client.client() as link:
            link.execute_command("SELECT", number)
            for key in link.keys("*"):
                # A key may expire between the two.
                found += [key, *(value for value in _values(link, key) if value is not None)]
            link.execute_command("SELECT", 0)
    return b"\n".join(found)


def _values(link: Any, key: bytes) -> Iterable[bytes]:
    kind = link.type(key)
    if kind == b"hash":
        return [part for pair in link.hgetall(key).items() for part in pair]
    if kind == b"zset":
        return link.zrange(key, 0, -1)
    if kind == b"set":
        return link.smembers(key)
    return link.lrange(key, 0, -1) if kind == b"list" else [link.get(key)]


def in_books() -> bytes:
    """All rows of all tables."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - names of our own tables
            found += [_shown(value) for row in cursor.fetchall() for value in row]
    return "\n".join(found).encode()


def _shown(value: object) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


@contextmanager
def listening(client: redis.Redis) -> Iterator[list[bytes]]:
    """Records all commands that reach Redis meanwhile, also about data that it deletes again."""
    heard: list[bytes] = []
    link = client.connection_pool.get_connection()
    link.send_command("MONITOR")
    link.read_response()

    def listen() -> None:
        while b"that is all" not in (line := link.read_response()):
            heard.append(line.decode("unicode_escape").encode("latin-1", "replace"))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield heard
    finally:
        client.echo("that is all")
        listener.join(timeout=120)
        link.disconnect()
        client.connection_pool.release(link)
