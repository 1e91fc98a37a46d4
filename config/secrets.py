"""Where the secrets come from: the environment, or a file that only its owner can read.

Outside of a demo, secrets are never made up: a pepper that changed silently would forget every identity of a running
campaign.
"""

import os
import secrets
import tempfile
from base64 import urlsafe_b64decode
from pathlib import Path

NAMES = (
    "FLASHSALE_SECRET_KEY",
    "FLASHSALE_PEPPER",
    "FLASHSALE_TOKEN_KEYS",
    "FLASHSALE_CONTACT_KEY",
    "FLASHSALE_RECEIPT_KEY",
)

HEAD = """\
# Secrets of this data folder. Keep the file private, back it up apart from the data, never commit it.
# Made by a demo; variables of the environment win over the lines below.
"""


class SecretsMissing(RuntimeError):
    """A secret is neither in the environment nor in the file, or it is unusable. The text says what to do."""


def load(*, path: Path, make: bool) -> None:
    """Put the file's lines into the environment where it lacks them; with `make`, write first what is missing in it."""
    if make and not path.exists() and not all(os.environ.get(name) for name in NAMES):
        _write(path=path)
    if path.exists():
        _refuse_open_file(path)
        if make:
            _complete(path=path)
        for name, value in _lines(path):
            os.environ.setdefault(name, value)
    missing = [name for name in NAMES if not os.environ.get(name)]
    if missing:
        raise SecretsMissing(
            f"Missing: {', '.join(missing)}. Set them in the environment or in {path} (mode 0600), "
            "or try the demo, which makes its own: FLASHSALE_DEMO=1, as `make run` does. "
            "docs/operate.md tells how each is made."
        )


def token_keys(text: str) -> dict[int, bytes]:
    """Read "1:hex,2:hex" into keys by id; the highest id seals, all of them open.

    Raises SecretsMissing when an id is not 1..255 or a key is not 32 bytes in hex.
    """
    try:
        keys = {
            int(kid): bytes.fromhex(key) for kid, _, key in (part.strip().partition(":") for part in text.split(","))
        }
    except ValueError as error:
        raise SecretsMissing('FLASHSALE_TOKEN_KEYS is not of the form "1:hex,2:hex".') from error
    if not all(0 < kid < 256 and len(key) == 32 for kid, key in keys.items()):
        raise SecretsMissing("FLASHSALE_TOKEN_KEYS needs ids from 1 to 255 and keys of 32 bytes (64 hex digits).")
    return keys


def key(name: str, text: str) -> bytes:
    """Read one 32-byte key in hex."""
    try:
        value = bytes.fromhex(text)
    except ValueError as error:
        raise SecretsMissing(f"{name} is not hex.") from error
    if len(value) != 32:
        raise SecretsMissing(f"{name} needs 32 bytes (64 hex digits), has {len(value)}.")
    return value


def public_keys(text: str) -> list[bytes]:
    """Read public keys of 32 bytes as /v1/keys shows them ("x,x", base64url); none from an empty text."""
    try:
        keys = [urlsafe_b64decode(part.strip() + "=") for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise SecretsMissing("FLASHSALE_RECEIPT_OLD_KEYS is not base64url.") from error
    if any(len(public) != 32 for public in keys):
        raise SecretsMissing("FLASHSALE_RECEIPT_OLD_KEYS needs keys of 32 bytes (43 characters).")
    return keys


def fresh() -> dict[str, str]:
    """A new set of secrets."""
    return {
        "FLASHSALE_SECRET_KEY": secrets.token_urlsafe(48),
        "FLASHSALE_PEPPER": secrets.token_hex(32),
        "FLASHSALE_TOKEN_KEYS": f"1:{secrets.token_hex(32)}",
        "FLASHSALE_CONTACT_KEY": secrets.token_hex(32),
        "FLASHSALE_RECEIPT_KEY": secrets.token_hex(32),
    }


def _write(*, path: Path) -> None:
    """Write whole or not at all; of two processes that start at once the first wins and both read its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}={value}\n" for name, value in fresh().items()]
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secrets-") as file:  # mode 0600 from the start
        file.write(HEAD + "".join(lines) + "FLASHSALE_DEMO=1\n")
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return


def _complete(*, path: Path) -> None:
    """Add what a demo's file from an earlier version lacks.

    Of two processes that do it at once, both read the file afterwards and keep a name's first value.
    """
    known = {name for name, _ in _lines(path)}
    lines = [f"{name}={value}\n" for name, value in fresh().items() if name not in known]
    if lines and "FLASHSALE_DEMO" in known:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def _refuse_open_file(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise SecretsMissing(f"{path} has mode {mode:04o}: others could read it. Run: chmod 600 {path}")


def _lines(path: Path) -> list[tuple[str, str]]:
    rows = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (row.partition("=") for row in rows if row and not row.startswith("#"))
    return [(name.strip(), value.strip()) for name, _, value in pairs]
