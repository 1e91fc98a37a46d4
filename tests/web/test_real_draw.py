"""A sale with a beacon on a real server, over HTTP: the verifier believes its transcript and no forged one."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import Client

from flashsale.models import Sale
from flashsale.rules import lottery, receipts
from tests.beacons import CHAIN, INFO, Relay, freeze_is_now, round_is_there
from tests.browser.site import serving
from tests.factories import identity, lobby_sale, poco_campaign
from tests.forged_draws import FORGED
from tests.web.partner import key_of

WAIT_S = 120.0
NAMES = "ani budi cici dodi edi fifi gina"


class Http:
    """Requests of a partner to the server."""

    def __init__(self, url: str, sale: Sale, key: str) -> None:
        self.start, self.key = f"{url}/v1/sales/{sale.code}", key

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.start}/{path}", timeout=120) as answer:  # noqa: S310 - an address of ours
            content: bytes = answer.read()
        return content

    def post(self, verb: str, body: object) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        address = f"{self.start}/lines/lazada/{verb}"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return json.loads(answer.read())

    def waits_for(self, path: str, condition: Callable[[Any], bool]) -> Any:
        """What the server answers when the condition holds, within two minutes."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            try:
                found = json.loads(self.get(path))
                if condition(found):
                    return found
            except urllib.error.HTTPError as error:
                if error.code not in {404, 503}:
                    raise
            time.sleep(0.1)
        raise AssertionError(f"{path}: not within {WAIT_S:.0f} s")


def verify(folder: Path, transcript: dict[str, Any], *options: str) -> tuple[int, str]:
    """The exit status and the output of the verifier as a plain script, which imports nothing of ours."""
    (folder / "transcript.json").write_text(json.dumps(transcript))
    (folder / "chain.json").write_text(json.dumps(INFO))
    command = [sys.executable, "-E", lottery.__file__, "verify", str(folder / "transcript.json"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("transactional_db")
def test_the_verifier_believes_the_transcript_of_a_real_sale_and_no_forged_one(
    gate: redis.Redis, tmp_path: Path, settings: Any
) -> None:
    settings.FLASHSALE_BEACON_CHAIN = CHAIN
    campaign = poco_campaign()
    sale = lobby_sale(campaign, channels=("lazada", "akulaku"), draw_version=2, beacon="drand", max_entries=1000)
    with Relay() as relay:
        chain = {
            "FLASHSALE_BEACON_CHAIN": json.dumps(INFO),
            "FLASHSALE_BEACON_RELAYS": f"http://127.0.0.1:9,{relay.url}",
        }
        with serving(tmp_path, **chain) as site:
            http = Http(site.url, sale, key_of(campaign, "lazada"))
            tokens = []
            for name in NAMES.split():
                person = {axis.value: value for axis, value in identity(name).items()}
                tokens.append(http.post("enter", {"identity": person})["place"])
            http.post("leave", {"place": tokens[6]})
            early = http.post("receipt", {"place": tokens[0]})
            freeze_is_now(sale)
            frozen = http.waits_for("draw", lambda found: found["lines"] != {})
            assert frozen["lines"]["lazada"]["states"] == {"0": 6, "1": 1, "2": 0}
            assert (frozen["drawn"], relay.asked) == (False, [])
            round_is_there(sale)
            transcript = http.waits_for("transcript", bool)
            http.waits_for("lines/lazada/status", lambda found: bool(found["seed"]))
            signed = [http.post("receipt", {"place": token}) for token in tokens]
            looks = [http.post("look", {"place": token}) for token in tokens]
            late = http.post("enter", {"identity": {axis.value: value for axis, value in identity("hadi").items()}})
            behind = http.post("receipt", {"place": late["place"]})
            keys = json.loads(Client().get("/v1/keys").content)
            tile = http.get("lines/lazada/entries/0")

    assert (transcript["version"], transcript["lines"]["lazada"]["root"]) == (2, frozen["lines"]["lazada"]["root"])
    assert all(receipts.verify(receipt, keys) for receipt in [early, *signed, behind])
    assert not {"leaf", "proof", "root"} & (set(early["receipt"]) | set(behind["receipt"]))
    assert [receipt["receipt"]["state"] for receipt in signed] == [0, 0, 0, 0, 0, 0, 1]
    assert "".join(receipt["receipt"]["leaf"] for receipt in signed) == tile.hex()
    with_chain = ("--chain", str(tmp_path / "chain.json"))
    for number, (receipt, look) in enumerate(zip(signed, looks, strict=True), start=1):
        (tmp_path / "receipt.json").write_text(json.dumps(receipt))
        where = ("--line", "lazada", "--index", str(number), "--proof", str(tmp_path / "receipt.json"))
        status, output = verify(tmp_path, transcript, *where, *with_chain)
        assert (status, output.splitlines()[-1]) == (0, f"number: {look['number']}")
        assert f"ok     line 'lazada': the entries have the leaf of the receipt at index {number}" in output
        # The receipt of another ticket proves nothing for this one.
        other = ("--line", "lazada", "--index", str(number % 7 + 1), "--proof", str(tmp_path / "receipt.json"))
        assert verify(tmp_path, transcript, *other, *with_chain)[0] == 1
    assert "ok     drand has signed the round" in output
    # Without --chain only drand's own chain is accepted.
    assert verify(tmp_path, transcript)[0] == 1
    for forge in FORGED:
        forged = deepcopy(transcript)
        forge(forged)
        status, output = verify(tmp_path, forged, *with_chain)
        assert (status, "the transcript is FALSE" in output) == (1, True), forge.__name__
