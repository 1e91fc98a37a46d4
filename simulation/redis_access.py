"""TLS and users for Redis servers that a test starts: their options, and a connection that signs in. No Django."""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hiredis import Reader, ReplyError, pack_command


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """The files of the servers' certificate, the host that it names, and the users.

    `users` are the lines of an ACL file. Of these users, given as (name, password), `admin` may do everything,
    `replica` is for the servers among themselves, and `watcher` for the sentinels. `sentinel_password` is the password
    of the sentinels.
    """

    ca: Path
    cert: Path
    key: Path
    host: str
    users: Sequence[str]
    admin: tuple[str, str]
    replica: tuple[str, str]
    watcher: tuple[str, str]
    sentinel_password: str

    def tls(self, port: int) -> dict[str, str]:
        """The options of TLS, also of a sentinel. No port is left without it."""
        return {
            "port": "0", "tls-port": str(port), "tls-cert-file": str(self.cert), "tls-key-file": str(self.key),
            "tls-ca-cert-file": str(self.ca), "tls-auth-clients": "no", "tls-replication": "yes",
        }  # fmt: skip

    def server(self, port: int, folder: Path) -> dict[str, str]:
        """The options of a server. Writes the file of its users into its folder."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "users.acl").write_text("".join(f"{line}\n" for line in self.users), encoding="utf-8")
        name, password = self.replica
        return self.tls(port) | {
            "aclfile": str(folder / "users.acl"), "masteruser": name, "masterauth": password,
            "replica-announce-ip": self.host,
        }  # fmt: skip

    def wrap(self, link: socket.socket) -> ssl.SSLSocket:
        """TLS over a connection."""
        return ssl.create_default_context(cafile=self.ca).wrap_socket(link, server_hostname=self.host)


def ask(
    port: int,
    *command: str | int,
    host: str = "127.0.0.1",
    seconds: float = 5.0,
    access: RedisAccess | None = None,
    sentinel: bool = False,
) -> Any:
    """The reply of the server on this port, text as bytes. Raises hiredis' ReplyError and OSError.

    With `access` it uses TLS and signs in, at a `sentinel` with the password of the sentinels.
    """
    commands: list[tuple[str | int, ...]] = [command]
    if access:
        user = ("default", access.sentinel_password) if sentinel else access.admin
        commands.insert(0, ("AUTH", *user))
    reader, reply = Reader(), None
    plain = socket.create_connection((host, port), timeout=seconds)
    with plain, access.wrap(plain) if access else plain as link:
        for one in commands:
            link.sendall(pack_command(cast("Any", tuple(map(str, one)))))
            while (reply := reader.gets()) is False:
                got = link.recv(65536)
                if not got:
                    raise ConnectionResetError("the server closed the connection")
                reader.feed(got)
            if isinstance(reply, ReplyError):
                raise reply
    return reply
