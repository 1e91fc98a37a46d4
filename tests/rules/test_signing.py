"""A signature covers all that decides the effect of a request; the examples of docs/signing.md make the same one."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.signing import CLOCK_WINDOW_S, SignedRequest, check_signature, signature_of, text_to_sign

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "signing.md").read_text(encoding="utf-8")
VECTORS = json.loads((Path(__file__).parent / "signing-vectors.json").read_text(encoding="utf-8"))["vectors"]
SECRET = "fs_sign_of_a_test"
NOW = 1_795_361_462
ARGUMENTS = ("secret", "method", "target", "body", "timestamp", "nonce", "idempotency_key")


def request_of(vector: dict[str, Any]) -> SignedRequest:
    fields = {name: vector[name] for name in SignedRequest._fields}
    return SignedRequest(**fields | {"body": vector["body"].encode()})


def signed(secret: str = SECRET, **changed: Any) -> SignedRequest:
    request = SignedRequest("POST", "/v1/x?a=1", b'{"a": 1}', "key-1", "", str(NOW), "n" * 16)._replace(**changed)
    return request._replace(signature=signature_of(secret, request))


def refusal(request: SignedRequest, *, now: float = NOW) -> Refused:
    with pytest.raises(Refused) as refused:
        check_signature(SECRET, request, now=now)
    return refused.value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_signatures_of_known_requests_never_change(vector: dict[str, Any]) -> None:
    request = request_of(vector)
    assert text_to_sign(request).decode() == vector["text"]
    assert signature_of(vector["secret"], request) == vector["signature"]
    assert check_signature(vector["secret"], request, now=int(vector["timestamp"])) == CLOCK_WINDOW_S


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"}, {"target": "/v1/x?a=2"}, {"target": "/v1/x"}, {"body": b'{"a":1}'}, {"body": b""},
        {"timestamp": str(NOW + 1)}, {"nonce": "m" * 16}, {"idempotency_key": "key-2"}, {"idempotency_key": ""},
        {"signature": "v1=" + "0" * 64},
    ],
    ids=str,
)  # fmt: skip
def test_a_changed_request_is_refused(change: dict[str, Any]) -> None:
    assert refusal(signed()._replace(**change)).outcome is Outcome.BAD_SIGNATURE


def test_a_signature_with_another_secret_is_refused_and_the_refusal_has_no_signature() -> None:
    refused = refusal(signed("fs_sign_of_another_key"))
    assert refused.outcome is Outcome.BAD_SIGNATURE
    assert refused.detail == (
        "The signature does not fit. Signed must be, in lines: v1, POST, /v1/x?a=1, the SHA-256 of these 8 bytes of "
        "body, timestamp, nonce, Idempotency-Key."
    )


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"signature": ""}, "The header Flashsale-Signature is missing."),
        ({"signature": "0" * 64}, "The header Flashsale-Signature has another form."),
        ({"signature": "v1=" + "A" * 64}, "The header Flashsale-Signature has another form."),
        ({"timestamp": ""}, "The header Flashsale-Timestamp is missing."),
        ({"timestamp": "2026-11-29T16:00:00Z"}, "The header Flashsale-Timestamp has another form."),
        ({"timestamp": "-1"}, "The header Flashsale-Timestamp has another form."),
        ({"timestamp": "١٧٩٥٣٦١٤٦٢"}, "The header Flashsale-Timestamp has another form."),
        ({"nonce": ""}, "The header Flashsale-Nonce is missing."),
        ({"nonce": "short"}, "The header Flashsale-Nonce has another form."),
        ({"nonce": "n" * 65}, "The header Flashsale-Nonce has another form."),
        ({"nonce": "n" * 16 + "\n"}, "The header Flashsale-Nonce has another form."),
    ],
    ids=str,
)
def test_a_header_that_is_missing_or_odd_is_named(change: dict[str, Any], detail: str) -> None:
    refused = refusal(signed()._replace(**change))
    assert refused.outcome is Outcome.BAD_SIGNATURE
    assert refused.detail.startswith(detail)


def test_a_clock_may_be_five_minutes_wrong_in_either_direction() -> None:
    assert check_signature(SECRET, signed(), now=NOW + CLOCK_WINDOW_S) == 0
    assert check_signature(SECRET, signed(), now=NOW - CLOCK_WINDOW_S) == 2 * CLOCK_WINDOW_S
    for now, words in ((NOW + CLOCK_WINDOW_S + 1, "301 s before it"), (NOW - CLOCK_WINDOW_S - 1, "301 s after it")):
        refused = refusal(signed(), now=now)
        assert refused.outcome is Outcome.CLOCK_SKEW
        assert words in refused.detail


def test_a_refusal_because_of_the_clock_tells_our_time() -> None:
    refused = refusal(signed(timestamp=str(NOW * 1000)), now=NOW)
    assert refused.detail.startswith(
        f"The server's time is {NOW} (2026-11-22T15:31:02Z), in seconds since 1970. Flashsale-Timestamp {NOW}000 is "
    )
    assert refused.detail.endswith("Set your clock, and sign again with a new timestamp and a new nonce.")


def _example(language: str) -> str:
    """The code block of docs/signing.md in this language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


# How the example of each language is called for all vectors: the file, the program, and lines that call `sign`.
CALLS = {
    "python": (
        "example.py",
        [sys.executable],
        """
import sys
for at in range(1, len(sys.argv), 7):
    print(sign(*sys.argv[at:at + 7]))
""",
    ),
    "javascript": (
        "example.js",
        ["node"],
        """
const given = process.argv.slice(2);
for (let at = 0; at < given.length; at += 7) console.log(sign(...given.slice(at, at + 7)));
""",
    ),
    "php": (
        "example.php",
        ["php"],
        """
foreach (array_chunk(array_slice($argv, 1), 7) as $one) echo sign(...$one) . "\\n";
""",
    ),
    "java": (
        "Signing.java",
        ["java", "-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8"],
        """
    public static void main(String[] a) throws Exception {
        for (int i = 0; i < a.length; i += 7)
            System.out.println(sign(a[i], a[i + 1], a[i + 2], a[i + 3], a[i + 4], a[i + 5], a[i + 6]));
    }
}
""",
    ),
    "sh": (
        "example.sh",
        ["sh"],
        """
while [ $# -gt 0 ]; do
    sign "$1" "$2" "$3" "$4" "$5" "$6" "$7"
    shift 7
done
""",
    ),
}
NEEDS = {"javascript": ("node", "no Node.js"), "php": ("php", "no PHP"), "java": ("javac", "no Java"),
         "sh": ("openssl", "no openssl")}  # fmt: skip


@pytest.mark.parametrize("language", CALLS)
def test_the_example_of_the_manual_signs_each_vector(language: str, tmp_path: Path) -> None:
    program, reason = NEEDS.get(language, (sys.executable, ""))
    if shutil.which(program) is None:
        pytest.skip(reason)
    name, command, call = CALLS[language]
    code = _example(language)
    if language == "java":
        code = code.rstrip().removesuffix("}")
    (tmp_path / name).write_text(code + call, encoding="utf-8")
    given = [vector[argument] for vector in VECTORS for argument in ARGUMENTS]
    assert _run([*command, str(tmp_path / name), *given]) == [vector["signature"] for vector in VECTORS]


def test_the_manual_shows_the_first_vector() -> None:
    first = VECTORS[0]
    for name in ("secret", "method", "body", "timestamp", "nonce", "signature"):
        assert f"{name:11}{first[name]}\n" in PAGE
    assert f"{'path':11}{first['target']}\n" in PAGE


def _run(command: Sequence[str]) -> list[str]:
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    return done.stdout.splitlines()
