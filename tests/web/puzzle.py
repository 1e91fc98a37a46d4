"""Solves the puzzle that comes before a code, as work.js does."""

import json
from base64 import b64encode
from hashlib import sha256

from tests.web.shop import Visitor


def solve(visitor: Visitor, path: str = "puzzle") -> str:
    """What work.js sends for a fresh puzzle."""
    made = visitor.post(path, {}).json()
    tried = range(made["maxnumber"] + 1)
    number = next(n for n in tried if sha256(f"{made['salt']}{n}".encode()).hexdigest() == made["challenge"])
    return b64encode(json.dumps(made | {"number": number}).encode()).decode()
