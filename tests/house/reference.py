"""The files in docs/ that come from the code: openapi.json, collection.json and refusals.md, which partners read."""

import json
from pathlib import Path

from flashsale.web import problems
from flashsale.web.advice import advice
from flashsale.web.api.document import openapi
from tests.house.collection import collection

DOCS = Path(__file__).resolve().parents[2] / "docs"
HEAD = """# Refusals

Every refusal of the API is a problem document (RFC 9457) with one of these codes. A running server shows this page at
`/problems/`. When several codes are true at once, the answer is the first of them in this list. A code never changes
its meaning. New codes may come: treat an unknown code by its HTTP status.

Setiap penolakan API memakai salah satu kode di bawah ini. Jika beberapa kode berlaku sekaligus, jawabannya adalah yang
paling atas.

`make reference` writes this file from `flashsale/web/problems.py` and `flashsale/web/advice.py`.

| Code | HTTP | Meaning | Arti | What you do |
|---|---|---|---|---|
"""


def refusals() -> str:
    """The text of docs/refusals.md."""
    rows = [
        f"| `{code.value}` | {problems.status_of(code)} | {problems.title(code, 'en')} | {problems.title(code, 'id')} "
        f"| {advice(code, 'en')} |\n"
        for code in problems.REFUSALS
    ]
    return HEAD + "".join(rows)


def files() -> dict[str, str]:
    """The text of each file, by its name in docs/."""
    document = openapi().decode()
    return {
        "refusals.md": refusals(),
        "openapi.json": document + "\n",
        "collection.json": collection(json.loads(document)),
    }
