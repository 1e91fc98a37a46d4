"""The folder of a backup: a dump, a manifest that describes it, and, only if asked, the secrets.

    flashsale-20261129T203300Z/
      manifest.json      format, time, migrations, rows of each table, size and SHA-256 of each file
      books.dump         pg_dump in its own format (books.sqlite3 for SQLite); with a key: books.dump.enc
      secrets.env.enc    only with --with-secrets

With a key, OpenSSL encrypts each file (AES-256, PBKDF2 with 600,000 rounds), so a person can decrypt it without this
product. The manifest then has a keyed hash (HMAC-SHA256), so a changed file is found before it is decrypted.
"""

import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from flashsale.life.held_folder import held_folder

FORMAT = 1
MANIFEST = "manifest.json"
OPENSSL = ("-aes-256-cbc", "-pbkdf2", "-iter", "600000", "-md", "sha256", "-salt")
NAME = re.compile(r"flashsale-(\d{8}T\d{6})\d*Z")
# A backup takes its name and notes its time within so long.
NAME_AGREES = timedelta(minutes=5)
KEY_CHARS_MIN = 32
SECRETS = ("PEPPER", "TOKEN_KEYS", "CONTACT_KEY", "RECEIPT_KEY", "SECRET_KEY")


class BackupError(Exception):
    """A backup that cannot be made or used. The text says what was found, what is expected and what to do."""


def read_key(path: Path | None) -> bytes:
    """The first line of the key's file; empty without a file. Raises BackupError."""
    if path is None:
        return b""
    try:
        mode, text = path.stat().st_mode & 0o777, path.read_bytes()
    except OSError as error:
        raise BackupError(f"The key file {path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise BackupError(f"{path} has mode {mode:04o}, so other users can read it. Run: chmod 600 {path}")
    key = text.partition(b"\n")[0].strip()
    if len(key) < KEY_CHARS_MIN:
        raise BackupError(
            f"The first line of {path} has {len(key)} characters. Expected {KEY_CHARS_MIN} or more. "
            "Make a key with: openssl rand -hex 32"
        )
    return key


@contextmanager
def new_folder(to: Path) -> Iterator[Path]:
    """A folder that gets its name when the backup is whole. Nothing is left of one that failed. Raises BackupError.

    What a backup leaves that was killed is deleted by the next one.
    """
    name = f"flashsale-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    with ExitStack() as stack:
        try:
            to.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = stack.enter_context(held_folder(to, ".partial-"))
        except OSError as error:
            raise BackupError(f"{to} cannot be written: {error.strerror}. Choose another folder with --to.") from error
        yield partial
        for path in (*partial.iterdir(), partial):
            _sync(path)
        partial.rename(to / name)
        _sync(to)


def _sync(path: Path) -> None:
    """Waits until the disk has the file or the folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def written(folder: Path, name: str, key_file: Path | None) -> Iterator[IO[bytes]]:
    """A file of a backup to write into, through OpenSSL if there is a key. Raises BackupError."""
    path = folder / (f"{name}.enc" if key_file else name)
    with path.open("xb") as file:
        path.chmod(0o600)
        if key_file is None:
            yield file
            return
        with _openssl(["-e"], key_file, stdin=subprocess.PIPE, stdout=file) as process:
            assert process.stdin is not None
            yield process.stdin


@contextmanager
def opened(folder: Path, name: str, key_file: Path | None) -> Iterator[IO[bytes]]:
    """A file of a backup to read from, decrypted. Raises BackupError for a wrong key."""
    with (folder / name).open("rb") as file:
        if not name.endswith(".enc"):
            yield file
            return
        assert key_file is not None
        with _openssl(["-d"], key_file, stdin=file, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            yield process.stdout


@contextmanager
def _openssl(mode: list[str], key_file: Path, **streams: Any) -> Iterator["subprocess.Popen[bytes]"]:
    program = shutil.which("openssl")
    if program is None:
        raise BackupError("openssl was not found, and a key needs it. Install it: apt-get install openssl")
    command = [program, "enc", *mode, *OPENSSL, "-pass", f"file:{key_file}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, **streams) as process:
        yield process
        if process.stdin:
            process.stdin.close()
        assert process.stderr is not None
        text = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise BackupError(f"openssl failed: {text}")


def write_manifest(folder: Path, content: Mapping[str, Any], key: bytes) -> None:
    """Adds the hashes of all files, and writes the manifest."""
    files = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(folder.iterdir())}
    manifest: dict[str, Any] = {"format": FORMAT, **content, "files": files}
    manifest["keys"] = key_marks()
    manifest["encrypted"] = f"openssl enc -d {' '.join(OPENSSL[:-1])} -pass file:KEYFILE" if key else ""
    if key:
        manifest["hmac"] = _mac(manifest, key)
    path = folder / MANIFEST
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    path.chmod(0o600)


def read_manifest(folder: Path, key: bytes) -> dict[str, Any]:
    """The manifest of a backup whose files are as they were written. Raises BackupError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise BackupError(f"{folder} is no backup: {MANIFEST} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise BackupError(f"{folder / MANIFEST} is damaged: it is no JSON. Use another backup.") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise BackupError(
            f"The backup has format {found}. This release reads format {FORMAT}: use the release of the backup."
        )
    if manifest["encrypted"] and not key:
        raise BackupError("The backup is encrypted. Name the file with its key: --key-file FILE")
    if key and not manifest["encrypted"]:
        # Otherwise a person who can write to the place of the backups could put a dump of their own there.
        raise BackupError(
            f"{folder} is not encrypted, and a key was named: somebody has replaced it, or it was made without a key. "
            "Only if you know that, restore it without --key-file."
        )
    if manifest["encrypted"] and not hmac.compare_digest(_mac(manifest, key), manifest.get("hmac", "")):
        raise BackupError(
            "The key is not the one of this backup, or the manifest was changed. Use the right --key-file."
        )
    for name, facts in manifest["files"].items():
        path = folder / Path(name).name
        if (
            path.name != name
            or not path.is_file()
            or path.stat().st_size != facts["bytes"]
            or _sha256(path) != facts["sha256"]
        ):
            raise BackupError(f"{path} is damaged or missing: it is not what the manifest says. Use another backup.")
    return dict(manifest)


def refuse_other_time(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raises BackupError for a folder whose name has another time than the manifest in it.

    The newest backup is found by its name. So a person who can write to the place of the backups could give an old one,
    whose keyed hash is true, the name of a newer one. A folder with a name of another form says no time.
    """
    found = NAME.fullmatch(folder.resolve().name)
    if found is None:
        return
    try:
        named = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        agrees = abs(named - datetime.fromisoformat(manifest["made_at"])) <= NAME_AGREES
    except (ValueError, TypeError):
        agrees = False
    if not agrees:
        raise BackupError(
            f"The name {folder.name} says {found[1]}, and the backup in it was made at {manifest['made_at']}: somebody "
            "has renamed it. Look for the backup that you want. Only if this is the one, add --renamed."
        )


def newest(folder: Path) -> Path:
    """The folder itself if it is a backup, otherwise the newest backup in it. Raises BackupError."""
    if (folder / MANIFEST).exists():
        return folder
    found = sorted(path.parent for path in folder.glob(f"flashsale-*/{MANIFEST}"))
    if not found:
        raise BackupError(
            f"There is no backup in {folder}: no {MANIFEST} there. Make one: manage.py backup --to {folder}"
        )
    return found[-1]


def key_marks() -> dict[str, str]:
    """For each secret a mark that shows whether a server has the same one, and nothing else about it."""
    values = {name: repr(_secret(name)).encode() for name in SECRETS}
    return {
        name: hmac.new(value, b"flashsale backup", hashlib.sha256).hexdigest()[:16] for name, value in values.items()
    }


def secrets_text() -> str:
    """The secrets of this server, in the form of secrets.env."""
    token_keys = ",".join(f"{id_}:{key.hex()}" for id_, key in settings.FLASHSALE_TOKEN_KEYS.items())
    lines = [f"FLASHSALE_SECRET_KEY={settings.SECRET_KEY}", f"FLASHSALE_TOKEN_KEYS={token_keys}"]
    lines += [f"FLASHSALE_{name}={_secret(name).hex()}" for name in ("PEPPER", "CONTACT_KEY", "RECEIPT_KEY")]
    return "\n".join(lines) + "\n"


def _secret(name: str) -> Any:
    return settings.SECRET_KEY if name == "SECRET_KEY" else getattr(settings, f"FLASHSALE_{name}")


def _mac(manifest: Mapping[str, Any], key: bytes) -> str:
    text = json.dumps({name: value for name, value in manifest.items() if name != "hmac"}, sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
