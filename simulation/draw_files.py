"""The files with which a stranger checks the draw of one sale, and what the story finds with them.

For a sale of version 2 these are: the transcript, what was public before (draw), the keys of the receipts, some
receipts of partners' shoppers, and what a relay of the chain answers at /info. docs/fairness.md says how to check them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flashsale.models import Sale
from flashsale.rules import lottery, receipts
from flashsale.rules.entries import hashes_in
from simulation import drand, fetch
from simulation.observations import Check, make_check
from simulation.shopper import PartnerShopper
from simulation.story import Story

CHAIN_FILE = "drand-chain.json"
RECEIPTS = 3


def keep(story: Story, sale: Sale) -> Check:
    """Writes the files of a sale that is drawn. Checks with them that its entries are complete, and the receipts."""
    address = f"{story.servers.url}/v1/sales/{sale.code}"
    found: dict[str, Any] = {
        "draw": fetch.document(f"{address}/draw"),
        "keys": fetch.document(f"{story.servers.url}/v1/keys"),
        "receipts": list(_receipts(story, sale, address)),
    }
    for name, content in found.items():
        _write(story.out / f"{name}-{sale.code}.json", content)
    _write(story.out / CHAIN_FILE, drand.INFO)
    transcript = lottery.read(json.dumps(story.observed.transcripts[sale.code]))
    broken = [
        f"{line}: the public leaves do not lead to its root"
        for line, drawn in transcript.lines.items()
        if lottery.tree_root(_leaves(f"{address}/lines/{line}/entries", found["draw"]["lines"][line]["tiles"]))
        != drawn.root
    ]
    for signed in found["receipts"]:
        index, line = signed["receipt"]["index"], signed["receipt"]["line"]
        proof = lottery.check_of_proof(transcript, line=line, index=index, proof=json.dumps(signed))
        if not (proof.holds and receipts.verify(signed, found["keys"])):
            broken.append(f"{line}: the receipt of ticket {index} is not true")
    counted = f"{sum(line.cohort for line in transcript.lines.values())} entries, {len(found['receipts'])} receipts"
    return make_check(6, "all entries lead to the root (order)", broken, counted, "for each line and each receipt")


def _receipts(story: Story, sale: Sale, address: str) -> Iterator[dict[str, Any]]:
    """The receipts of the first people who came through a partner and were drawn."""
    cohorts = {code: line["cohort"] for code, line in story.observed.transcripts[sale.code]["lines"].items()}
    drawn = (
        participant
        for participant in story.attendances[sale.code].participants
        if isinstance(participant.shopper, PartnerShopper)
        and 0 < participant.index <= cohorts[participant.shopper.line]
    )
    for participant, _ in zip(drawn, range(RECEIPTS), strict=False):
        shopper = participant.shopper
        assert isinstance(shopper, PartnerShopper)
        bearer = f"Bearer {story.keys[shopper.person.channel]}"
        answer = fetch.document(
            f"{address}/lines/{shopper.line}/receipt", sent={"place": shopper.place}, Authorization=bearer
        )
        yield {name: answer[name] for name in ("receipt", "key", "signature")}


def _leaves(address: str, tiles: int) -> Iterator[bytes]:
    for number in range(tiles):
        yield from hashes_in(fetch.content(f"{address}/{number}"))


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1))
