"""A TCP proxy between a client and Redis. It can cut the connection after the server has run a command."""

import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards one loopback port to another.

    With `drop` set, the reply to the next matching request is lost; with `cut_off` set, nothing passes any more.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.drop: bytes | None = None
        self.cut_off = threading.Event()
        self._silent = threading.Event()
        self.sent: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._to))
        self._open += [client, server]
        try:
            while request := client.recv(1 << 20):
                if self.cut_off.is_set():
                    # Neither side hears anything from the other any more, not even that the connection is closed.
                    self._silent.wait()
                self.sent.append(request)
                server.sendall(request)
                reply = server.recv(1 << 20)
                if self.drop and self.drop in request:
                    self.drop = None
                    break
                client.sendall(reply)
        except OSError:
            pass
        finally:
            client.close()
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._silent.set()
        self._listener.close()
        for end in self._open:
            end.close()
