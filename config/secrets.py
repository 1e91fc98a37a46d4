"""Reads the secrets from the environment, or from a file that only its owner can read.

Only a demo makes secrets by itself. In production a pepper that is replaced without notice would lose every identity of
the running campaigns: their digests would no longer match.
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
# The secrets of this data folder, made by a demo. Keep this file private, back it up apart from the data, and never
# commit it. A variable of the environment takes precedence over its line below.
"""


class SecretsMissing(RuntimeError):
    """A secret is missing or not valid. The text says what to do."""


def load(*, path: Path, make: bool) -> None:
    """Copies the secrets of the file into the environment, except those that the environment already has.

    With `make`, it first creates the file, or adds the secrets that the file of an older demo lacks. Raises
    SecretsMissing if a secret is still missing, or if other users can read the file.
    """
    if make and not path.exists() and not all(os.environ.get(name) for name in NAMES):
        _create(path=path)
    if path.exists():
        _refuse_readable_by_others(path)
        if make:
            _add_missing(path=path)
        for name, value in _read(path):
            os.environ.setdefault(name, value)
    missing = [name for name in NAMES if not os.environ.get(name)]
    if missing:
        raise SecretsMissing(
            f"Missing secrets: {', '.join(missing)}. Set them in the environment or in {path} (mode 0600); "
            "docs/operate.md says how to make each one. "
            "To try the demo, which makes its own secrets, run `make run`, or set FLASHSALE_DEMO=1."
        )


def parse_token_keys(text: str) -> dict[int, bytes]:
    """Reads "1:hex,2:hex" into keys by id. The highest id seals; all of them open.

    Raises SecretsMissing if an id is not 1..255 or a key is not 32 bytes in hex.
    """
    try:
        keys = {
            int(kid): bytes.fromhex(key) for kid, _, key in (part.strip().partition(":") for part in text.split(","))
        }
    except ValueError as error:
        raise SecretsMissing('FLASHSALE_TOKEN_KEYS must have the form "1:hex,2:hex".') from error
    if not all(0 < kid < 256 and len(key) == 32 for kid, key in keys.items()):
        raise SecretsMissing("FLASHSALE_TOKEN_KEYS must have ids from 1 to 255 and keys of 32 bytes (64 hex digits).")
    return keys


def parse_key(name: str, text: str) -> bytes:
    """Reads a key of 32 bytes in hex. Raises SecretsMissing with the secret's name if it is not valid."""
    try:
        value = bytes.fromhex(text)
    except ValueError as error:
        raise SecretsMissing(f"{name} must be hex digits.") from error
    if len(value) != 32:
        raise SecretsMissing(f"{name} must have 32 bytes (64 hex digits), but it has {len(value)} bytes.")
    return value


def parse_public_keys(text: str) -> list[bytes]:
    """Reads public keys of 32 bytes, in base64url as /v1/keys shows them: "x,x". An empty text gives an empty list.

    Raises SecretsMissing if a key is not valid.
    """
    try:
        keys = [urlsafe_b64decode(part.strip() + "=") for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise SecretsMissing("FLASHSALE_RECEIPT_OLD_KEYS must be base64url.") from error
    if any(len(public) != 32 for public in keys):
        raise SecretsMissing("FLASHSALE_RECEIPT_OLD_KEYS must have keys of 32 bytes (43 characters).")
    return keys


def generate() -> dict[str, str]:
    """New random values for all secrets."""
    return {
        "FLASHSALE_SECRET_KEY": secrets.token_urlsafe(48),
        "FLASHSALE_PEPPER": secrets.token_hex(32),
        "FLASHSALE_TOKEN_KEYS": f"1:{secrets.token_hex(32)}",
        "FLASHSALE_CONTACT_KEY": secrets.token_hex(32),
        "FLASHSALE_RECEIPT_KEY": secrets.token_hex(32),
    }


def _create(*, path: Path) -> None:
    """Creates the file atomically. If two processes start at once, the first one wins, and both read its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}={value}\n" for name, value in generate().items()]
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secrets-") as file:  # mode 0600 from the start
        file.write(HEAD + "".join(lines) + "FLASHSALE_DEMO=1\n")
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return


def _add_missing(*, path: Path) -> None:
    """Adds the secrets that the file of an older demo lacks.

    If two processes do it at once, both read the file afterwards and keep the first value of each name.
    """
    known = {name for name, _ in _read(path)}
    lines = [f"{name}={value}\n" for name, value in generate().items() if name not in known]
    if lines and "FLASHSALE_DEMO" in known:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def _refuse_readable_by_others(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise SecretsMissing(f"{path} has mode {mode:04o}, so other users can read it. Run: chmod 600 {path}")


def _read(path: Path) -> list[tuple[str, str]]:
    rows = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (row.partition("=") for row in rows if row and not row.startswith("#"))
    return [(name.strip(), value.strip()) for name, _, value in pairs]
