"""A chain of drand for the simulation, and a relay of it: an HTTP server that hands out rounds when their time comes.

Drand's own rounds cannot be had without internet, and a round of tomorrow cannot be recorded today. So the simulation
has a chain of its own, of the same form as quicknet. The settings name it (FLASHSALE_BEACON_CHAIN), and all programs
check its signatures as they check those of quicknet.

Its key is in this file. So every reader can compute each round in advance, and these rounds are no public randomness.
They show that each step works: the root comes before the round, and the numbers follow from both. A real sale takes
quicknet, whose key no single person has.
"""

import json
import os
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pyblst  # type: ignore[import-untyped]

from flashsale.rules.lottery import G2_GENERATOR, QUICKNET_DST, Chain
from simulation.processes import free_port

_KEY = int.from_bytes(sha256(b"the key of the simulation's own chain").digest()[:31], "big")
CHAIN = Chain(
    hash=sha256(b"the simulation's own chain of drand").hexdigest(),
    key=pyblst.BlstP2Element().uncompress(G2_GENERATOR).scalar_mul(_KEY).compress(),
    genesis_s=1_700_000_000,
    period_s=3,
)
# What a relay answers at /info, and what the verifier takes with --chain.
INFO = {"hash": CHAIN.hash, "public_key": CHAIN.key.hex(), "genesis_time": CHAIN.genesis_s, "period": CHAIN.period_s}
RELAYS = "FLASHSALE_BEACON_RELAYS"


def environment() -> dict[str, str]:
    """The settings of a process that takes its rounds from a relay of this chain, on a free port."""
    return {"FLASHSALE_BEACON_CHAIN": json.dumps(INFO), RELAYS: f"http://127.0.0.1:{free_port()}"}


def sign(round_: int) -> bytes:
    """The signature of a round of the chain."""
    message = sha256(round_.to_bytes(8, "big")).digest()
    signature: bytes = pyblst.BlstP1Element().hash_to_group(message, QUICKNET_DST).scalar_mul(_KEY).compress()
    return signature


class Relay:
    """A relay of the chain. Usable as a context manager. `port` 0 is a free one.

    `asked` has the paths of all requests. Addresses are as at drand: /{hash of the chain}/public/{round}.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.asked: list[str] = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay.asked.append(self.path)
                status, fields = relay.answer(self.path)
                body = json.dumps(fields).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @classmethod
    def of_settings(cls) -> "Relay":
        """The relay that :func:`environment` has named."""
        return cls(port=urlsplit(os.environ[RELAYS]).port or 0)

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status and the JSON for a path. A round that has not come yet is not found."""
        _, chain, _, round_ = path.split("/")
        if chain != CHAIN.hash or CHAIN.time_of(int(round_)) > time.time():
            return 404, {"error": "EOF"}
        return 200, self.fields_of(int(round_), sign(int(round_)))

    @staticmethod
    def fields_of(round_: int, signature: bytes) -> dict[str, Any]:
        """The members of an answer about a round."""
        return {"round": round_, "signature": signature.hex(), "randomness": sha256(signature).hexdigest()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
