"""A load generator: `python -m simulation.bench.load`, a separate process that sends prepared requests.

Each connection sends its next request when it has the answer to the last one. With a rate, a request also waits until
it is due, and its latency counts from then, so that a slow server does not hide behind clients that wait for it. The
process prints one JSON object. It does not need Django, sends only to the loopback address, and ends after the last
request or when the time is over.
"""

import argparse
import asyncio
import itertools
import json
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import uvloop

HOST = "127.0.0.1"
SIZE = struct.Struct(">I")
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
LAST_CHUNK = b"0\r\n\r\n"
SECONDS_MAX = 30.0
CONNECTIONS_MAX = 2048


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load: answers by status, seconds, CPU seconds of the sender, and percentiles of latency in ms."""

    answers: dict[int, int]
    seconds: float
    cpu_s: float
    p50: float
    p95: float
    p99: float
    bodies: dict[int, bytes] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of answers."""
        return sum(self.answers.values())


def send(
    *, port: int, requests: Sequence[bytes], seconds: float, connections: int = 32, keep: bool = False, rate: float = 0
) -> LoadResult:
    """Sends requests from a separate process: each once; a single request repeatedly until the time is over.

    With `keep`, the result has the bodies of the answers, by the position of their request. `rate` is how many requests
    are due in a second; 0: as many as the connections can send.
    """
    with (
        tempfile.NamedTemporaryFile(prefix="flashsale-requests-") as file,
        tempfile.NamedTemporaryFile(prefix="flashsale-answers-") as kept,
    ):
        _write(file, requests)
        arguments = [str(port), str(connections), str(seconds), file.name, "--rate", str(rate)]
        arguments += ["--keep", kept.name] if keep else []
        done = subprocess.run(
            [sys.executable, "-m", __name__, *arguments], check=True, capture_output=True, timeout=SECONDS_MAX + 30
        )
        texts = _read(Path(kept.name))
    result = json.loads(done.stdout)
    return LoadResult(
        **{**result, "answers": {int(status): count for status, count in result["answers"].items()}},
        bodies={int(number): body for number, _, body in (text.partition(b" ") for text in texts)},
    )


def _write(file: IO[bytes], texts: Iterable[bytes]) -> None:
    file.writelines(SIZE.pack(len(text)) + text for text in texts)
    file.flush()


def _read(file: Path) -> list[bytes]:
    data, at = file.read_bytes(), 0
    texts = []
    while at < len(data):
        (size,) = SIZE.unpack_from(data, at)
        texts.append(data[at + SIZE.size : at + SIZE.size + size])
        at += SIZE.size + size
    return texts


def _is_complete(received: bytes) -> bool:
    """Whether the whole answer has arrived."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return False
    length = LENGTH.search(received, 0, end)
    return len(received) >= end + 4 + int(length[1]) if length else received.endswith(LAST_CHUNK)


class Crowd:
    """The state that all connections share: the requests still to send, and the answers."""

    def __init__(self, requests: Sequence[bytes], seconds: float, *, keep: bool, rate: float) -> None:
        self.answers: Counter[int] = Counter()
        self.times: list[float] = []
        self.kept: list[bytes] = []
        self.began = time.perf_counter()
        self._requests = enumerate(itertools.repeat(requests[0]) if len(requests) == 1 else requests)
        self._ends = self.began + seconds
        self._keep = keep
        self._gap_s = 1 / rate if rate else 0.0

    @property
    def is_paced(self) -> bool:
        """Whether requests are due at a rate."""
        return self._gap_s > 0

    def due(self, number: int) -> float:
        """When the request at this position is due (time.perf_counter); the past without a rate."""
        return self.began + number * self._gap_s

    def next(self) -> tuple[int, bytes] | None:
        """The next request and its position; None when the time is over or all requests are sent."""
        return next(self._requests, None) if time.perf_counter() < self._ends else None

    def record(self, number: int, answer: bytes, seconds: float) -> None:
        """Records a complete answer."""
        self.answers[int(answer[9:12])] += 1
        self.times.append(seconds)
        if self._keep:
            self.kept.append(b"%d %s" % (number, answer.partition(b"\r\n\r\n")[2]))


class Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, crowd: Crowd) -> None:
        self.gone = asyncio.get_running_loop().create_future()
        self._crowd = crowd
        self._received = b""
        self._number = 0
        self._sent_at = 0.0
        self._link = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self._link = cast("asyncio.Transport", transport)
        self._send_next()

    def _send_next(self) -> None:
        next_request = self._crowd.next()
        if next_request is None:
            self._sent_at = 0.0
            self._link.close()
            return
        self._number, request = next_request
        now, due = time.perf_counter(), self._crowd.due(self._number)
        if due > now:
            asyncio.get_running_loop().call_later(due - now, self._send, request, due)
        else:
            self._send(request, due if self._crowd.is_paced else now)

    def _send(self, request: bytes, from_s: float) -> None:
        self._sent_at = from_s
        self._link.write(request)

    def data_received(self, data: bytes) -> None:
        """Records an answer when it is complete, and sends the next request."""
        self._received += data
        if not _is_complete(self._received):
            return
        self._crowd.record(self._number, self._received, time.perf_counter() - self._sent_at)
        self._received = b""
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Counts status 0 if the connection ends before the answer is complete."""
        if self._sent_at:
            self._crowd.answers[0] += 1
        self.gone.set_result(None)


async def _visit(port: int, connections: int, crowd: Crowd) -> None:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(crowd), HOST, port) for _ in range(connections)]
    await asyncio.wait_for(asyncio.gather(*(visitor.gone for _, visitor in made)), SECONDS_MAX + 10)


def main() -> None:
    """Sends the requests in the file and prints the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int, choices=range(1, CONNECTIONS_MAX + 1), metavar="connections")
    parser.add_argument("seconds", type=float)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--rate", type=float, default=0.0)
    arguments = parser.parse_args()
    requests = _read(arguments.requests)
    crowd = Crowd(requests, min(arguments.seconds, SECONDS_MAX), keep=arguments.keep is not None, rate=arguments.rate)
    before = time.process_time()
    uvloop.run(_visit(arguments.port, arguments.connections, crowd))
    seconds, times = time.perf_counter() - crowd.began, sorted(crowd.times) or [0.0]
    result = {"answers": crowd.answers, "seconds": seconds, "cpu_s": time.process_time() - before}
    result |= {f"p{percent}": times[len(times) * percent // 100] * 1000 for percent in (50, 95, 99)}
    if arguments.keep:
        with arguments.keep.open("wb") as file:
            _write(file, crowd.kept)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
