"""A slow cable: passes on each packet between two interfaces later: `python -m simulation.scale.slow_cable A B MS`.

One packet in a hundred is lost. Does not need Django.
"""

import asyncio
import random
import socket
import sys
from contextlib import suppress

ALL_PROTOCOLS = 0x0003
FRAME_BYTES_MAX = 65_536
LOST = 0.01


def plug(name: str) -> socket.socket:
    """A raw socket that reads and writes whole frames of an interface."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    link.bind((name, 0))
    link.setblocking(False)
    return link


async def pass_on(source: socket.socket, sink: socket.socket, delay_s: float) -> None:
    """Sends each frame of `source` to `sink`, later."""
    loop = asyncio.get_running_loop()
    while True:
        frame, address = await loop.sock_recvfrom(source, FRAME_BYTES_MAX)
        if address[2] != socket.PACKET_OUTGOING and random.random() >= LOST:
            loop.call_later(delay_s, _send, sink, frame)


def _send(sink: socket.socket, frame: bytes) -> None:
    with suppress(OSError):  # a full queue loses packets, as a switch does
        sink.send(frame)


async def main() -> None:
    """Passes on packets in both directions until the process ends."""
    first, second = plug(sys.argv[1]), plug(sys.argv[2])
    delay_s = int(sys.argv[3]) / 1000
    await asyncio.gather(pass_on(first, second, delay_s), pass_on(second, first, delay_s))


if __name__ == "__main__":
    asyncio.run(main())
