"""A chain of drand of the tests' own, and a relay of it: a real HTTP server that signs rounds when their time comes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyblst  # type: ignore[import-untyped]

from flashsale.rules.lottery import QUICKNET_DST, Chain

KEY = int.from_bytes(sha256(b"the key of the tests' own chain").digest()[:31], "big")
_G2 = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)
CHAIN = Chain(
    hash=sha256(b"the tests' own chain").hexdigest(),
    key=pyblst.BlstP2Element().uncompress(_G2).scalar_mul(KEY).compress(),
    genesis_s=1_700_000_000,
    period_s=3,
)
# What a relay answers at /info, and what the verifier takes with --chain.
INFO = {"hash": CHAIN.hash, "public_key": CHAIN.key.hex(), "genesis_time": CHAIN.genesis_s, "period": CHAIN.period_s}


def sign(round_: int) -> bytes:
    """The signature of a round of the tests' chain."""
    message = sha256(round_.to_bytes(8, "big")).digest()
    signature: bytes = pyblst.BlstP1Element().hash_to_group(message, QUICKNET_DST).scalar_mul(KEY).compress()
    return signature


class Relay:
    """A relay. `mode`: "late" answers 404, "wrong" gives the signature of another round, "true" the right one."""

    def __init__(self) -> None:
        self.mode = "true"
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

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status and the JSON for a path as drand's relays have it: /{hash of the chain}/public/{round}."""
        _, chain, _, round_ = path.split("/")
        if self.mode == "late" or chain != CHAIN.hash:
            return 404, {"error": "EOF"}
        signature = sign(int(round_) + (self.mode == "wrong"))
        return 200, {
            "round": int(round_), "signature": signature.hex(), "randomness": sha256(signature).hexdigest(),
        }  # fmt: skip


@contextmanager
def running_relay() -> Iterator[Relay]:
    """A relay that answers until the block ends."""
    relay = Relay()
    thread = threading.Thread(target=relay.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.server.shutdown()
        relay.server.server_close()
        thread.join()
