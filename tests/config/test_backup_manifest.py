"""A backup is read only as it was made: with a key, nothing that was made without it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsale.management.backup import files

KEY = b"0123456789abcdef0123456789abcdef"
CONTENT = {"vendor": "postgresql", "migrations": [], "rows": {}, "made_at": "2026-11-29T20:33:00+00:00"}


def backup(folder: Path, key: bytes) -> Path:
    folder.mkdir()
    (folder / "books.dump.enc").write_bytes(b"a dump")
    files.write_manifest(folder, CONTENT, key)
    return folder


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / files.MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_where_a_key_is_named_a_backup_without_encryption_is_refused(tmp_path: Path) -> None:
    own = backup(tmp_path / "own", KEY)
    assert files.read_manifest(own, KEY)["rows"] == {}
    others = [
        backup(tmp_path / "plain", b""),
        changed(
            backup(tmp_path / "stripped", KEY), lambda manifest: manifest.pop("hmac") and manifest.update(encrypted="")
        ),
        changed(backup(tmp_path / "claimed", KEY), lambda manifest: manifest.update(encrypted="")),
    ]
    for folder in others:
        with pytest.raises(files.BackupError, match="is not encrypted, and a key was named"):
            files.read_manifest(folder, KEY)
    assert files.read_manifest(others[0], b"")["rows"] == {}, "a backup that was made without a key needs none"


@pytest.mark.parametrize("name", ["../books.dump", "/tmp/books.dump", "books./../../books.dump"])  # noqa: S108
def test_a_manifest_names_only_files_of_its_folder(tmp_path: Path, name: str) -> None:
    folder = backup(tmp_path / "plain", b"")
    (folder / "books.dump").write_bytes(b"a dump")
    changed(folder, lambda manifest: manifest.update(files={name: manifest["files"]["books.dump.enc"]}))
    with pytest.raises(files.BackupError, match="is damaged or missing"):
        files.read_manifest(folder, b"")


@pytest.mark.parametrize("name", ["flashsale-20261130T203300Z", "flashsale-20261128T203300123456Z"])
def test_an_old_backup_under_the_name_of_another_time_is_refused_with_both_times(tmp_path: Path, name: str) -> None:
    folder = backup(tmp_path / name, KEY)
    manifest = files.read_manifest(folder, KEY)
    with pytest.raises(files.BackupError, match=rf"says {name[10:25]}, and .* made at 2026-11-29T20:33:00\+00:00"):
        files.refuse_other_time(folder, manifest)


@pytest.mark.parametrize("name", ["flashsale-20261129T203300Z", "flashsale-20261129T203259987654Z", "before-the-sale"])
def test_a_backup_under_its_own_name_or_without_a_time_is_accepted(tmp_path: Path, name: str) -> None:
    folder = backup(tmp_path / name, KEY)
    files.refuse_other_time(folder, files.read_manifest(folder, KEY))


@pytest.mark.parametrize("made_at", ["2026-11-29T20:33:00", "yesterday", None])
def test_a_backup_whose_time_cannot_be_compared_is_refused(tmp_path: Path, made_at: str | None) -> None:
    with pytest.raises(files.BackupError, match="somebody has renamed it"):
        files.refuse_other_time(tmp_path / "flashsale-20261129T203300Z", {"made_at": made_at})
