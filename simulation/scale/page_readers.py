"""People who read a page of `web` through nginx again and again, and note how long each answer took."""

import http.client
import statistics
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

READERS, PAUSE_S = 2, 0.1
PATIENCE_S, AGAIN_S = 20.0, 0.1
# A reader speaks to nginx alone. When a web behind it is away, nginx says so with a status.
NGINX_IS_AWAY = {"ConnectionRefusedError", "ConnectionResetError", "RemoteDisconnected"}


class PageReaders:
    """Reads the first page at 127.0.0.1 and this port until the end of its context.

    A reader whose connection is refused or closed tries again, as a browser does; the answer counts from the first try.
    `failures` has all other answers than the page, and answers that were cut off.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._read, daemon=True) for _ in range(READERS)]
        self.took_s: list[float] = []
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)

    @property
    def p99_ms(self) -> int:
        """The time within which 99 of 100 pages came."""
        took = self.took_s
        return round(1000 * (statistics.quantiles(took, n=100)[98] if len(took) > 1 else sum(took)))

    def _read(self) -> None:
        while not self._ended.wait(PAUSE_S):
            began = time.monotonic()
            answer = self._ask()
            while answer in NGINX_IS_AWAY and time.monotonic() < began + PATIENCE_S:
                time.sleep(AGAIN_S)
                answer = self._ask()
            self.took_s.append(time.monotonic() - began)
            if answer != "200":
                self.failures[answer] += 1

    def _ask(self) -> str:
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            link.request("GET", "/")
            answer = link.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        else:
            return str(answer.status)
        finally:
            link.close()
