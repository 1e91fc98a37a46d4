"""Hosts on one machine: network namespaces on two networks, whose cables can be pulled. Linux only, with root's rights.

Each host has a cable to the public network, where the clients and nginx are, and one to the inner network, where the
stores are. This process is a host of both networks, with the number 1. It moves into a namespace of its own, so the
networks of the machine stay as they are, and all of this is gone when the process ends.

A cable that is pulled loses packets without a word, as a dead switch does. The kernel module `netem` is not on every
machine, so a slow cable is a process that passes on each packet later (slow_cable.py).
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from simulation.processes import Process
from simulation.scale.rounds import NotPossible

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
THIS_THREAD = "/proc/thread-self/ns/net"
# States of a port of a bridge.
DISABLED, FORWARDING = "0", "3"
SIOCETHTOOL = 0x8946
# What the kernel leaves to the card: checksums (ETHTOOL_STXCSUM), many packets in one (ETHTOOL_STSO, ETHTOOL_SGSO).
LEFT_TO_THE_CARD = (0x17, 0x1F, 0x24)


class NotAllowed(NotPossible):
    """This machine does not let this process make network namespaces. The text says what it refuses."""


class Cable(StrEnum):
    """The two networks of a host: the name, and the first three parts of its addresses."""

    PUBLIC = "public"
    INNER = "inner"

    def address(self, number: int) -> str:
        """The address of the host with this number."""
        return f"10.77.{1 + list(Cable).index(self)}.{number}"


def _call(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments):
        raise NotAllowed(
            f"Network namespaces are not allowed here ({function}: {os.strerror(ctypes.get_errno())}). They need Linux "
            "and the rights CAP_SYS_ADMIN and CAP_NET_ADMIN: run it as root, and in a container with these rights."
        )


def _this_namespace() -> int:
    try:
        return os.open(THIS_THREAD, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotAllowed(f"This system has no network namespaces: {error}. They need Linux.") from error


def _run(*command: str) -> None:
    """Runs a command in the namespace of this thread."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip()
        raise NotAllowed(f"`{' '.join(command)}` failed: {said}. It needs iproute2 and CAP_NET_ADMIN.") from error


def _make_whole(interface: str) -> None:
    """Lets the kernel make each packet whole. There is no card to do it, and slow_cable.py passes on what it gets."""
    with socket.socket() as any_socket:
        for switch in LEFT_TO_THE_CARD:
            value = ctypes.create_string_buffer(struct.pack("II", switch, 0))
            fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP", interface.encode(), ctypes.addressof(value)))


class Networks:
    """Both networks, with this thread as a host. Usable as a context manager, before other threads start."""

    def __enter__(self) -> Self:
        self._home = _this_namespace()
        _call("unshare", NEW_NETWORK)
        _run("ip", "link", "set", "lo", "up")
        for cable in Cable:
            _run("ip", "link", "add", cable, "type", "bridge")
            _run("ip", "address", "add", f"{cable.address(1)}/24", "dev", cable)
            _run("ip", "link", "set", cable, "up")
            _make_whole(cable)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _call("setns", self._home, NEW_NETWORK)
        os.close(self._home)


class Host:
    """A host with both cables. `number` is the last part of its addresses. Make it in a thread of `Networks`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._namespace = -1
        self.boot()

    def boot(self) -> None:
        """Starts the host. After `power_off` it knows no connection of the time before, as a machine that boots."""
        outside = _this_namespace()
        _call("unshare", NEW_NETWORK)
        self._namespace = _this_namespace()
        _call("setns", outside, NEW_NETWORK)
        os.close(outside)
        there = f"/proc/{os.getpid()}/fd/{self._namespace}"
        for cable in Cable:
            port = self._port(cable)
            _run("ip", "link", "add", port, "type", "veth", "peer", "name", cable, "netns", there)
            _run("ip", "link", "set", port, "master", cable, "up")
        with self.inside():
            _run("ip", "link", "set", "lo", "up")
            for cable in Cable:
                _run("ip", "address", "add", f"{cable.address(self.number)}/24", "dev", cable)
                _run("ip", "link", "set", cable, "up")
                _make_whole(cable)

    def power_off(self) -> None:
        """Ends the host without a last packet. The caller has cut both cables and killed all processes in it."""
        os.close(self._namespace)
        for cable in Cable:
            _run("ip", "link", "delete", self._port(cable))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Runs in this thread on the host. Processes that are started here stay on it."""
        outside = _this_namespace()
        _call("setns", self._namespace, NEW_NETWORK)
        try:
            yield
        finally:
            _call("setns", outside, NEW_NETWORK)
            os.close(outside)

    def cut(self, *cables: Cable) -> None:
        """Pulls these cables. No connection is closed, and packets are lost."""
        for cable in cables:
            _run("bridge", "link", "set", "dev", self._port(cable), "state", DISABLED)

    def heal(self, *cables: Cable) -> None:
        """Puts these cables back."""
        for cable in cables:
            _run("bridge", "link", "set", "dev", self._port(cable), "state", FORWARDING)

    @contextmanager
    def slow(self, cable: Cable, *, delay_ms: int, folder: Path) -> Iterator[None]:
        """Each packet of this cable comes `delay_ms` later, in each direction, and one in a hundred is lost."""
        port, near, far = self._port(cable), f"near{self.number}", f"far{self.number}"
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        _run("ip", "link", "set", near, "up")
        _run("ip", "link", "set", far, "master", cable, "up")
        _run("ip", "link", "set", port, "nomaster")
        command = [sys.executable, "-m", "simulation.scale.slow_cable", port, near, str(delay_ms)]
        try:
            with Process(name="slow cable", command=command, log=folder / "slow-cable.log"):
                yield
        finally:
            _run("ip", "link", "set", port, "master", cable)
            _run("ip", "link", "delete", near)

    def _port(self, cable: Cable) -> str:
        return f"{cable}{self.number}"
