"""Secrets come from the environment or from a private file. Only a demo makes them."""

import os
from pathlib import Path

import pytest

from config import secrets
from config.secrets import SecretsMissing
from flashsale.rules.receipts import key_set


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})


def test_the_error_names_the_missing_secret(tmp_path: Path) -> None:
    os.environ.update(secrets.generate())
    del os.environ["FLASHSALE_PEPPER"]
    with pytest.raises(SecretsMissing, match=r"Missing secrets: FLASHSALE_PEPPER\. Set them"):
        secrets.load(path=tmp_path / "secrets.env", make=False)


def test_only_a_demo_makes_secrets(tmp_path: Path) -> None:
    with pytest.raises(SecretsMissing):
        secrets.load(path=tmp_path / "secrets.env", make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_writes_a_private_file_once(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "secrets.env"
    secrets.load(path=file, make=True)
    first = {name: value for name, value in os.environ.items() if name.startswith("FLASHSALE_")}
    os.environ.clear()
    secrets.load(path=file, make=True)
    assert first.items() <= os.environ.items()
    assert first["FLASHSALE_DEMO"] == "1"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["secrets.env"]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    os.environ["FLASHSALE_SECRET_KEY"] = "own value"
    secrets.load(path=tmp_path / "secrets.env", make=True)
    assert os.environ["FLASHSALE_SECRET_KEY"] == "own value"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    secrets.load(path=file, make=True)
    file.chmod(0o640)
    with pytest.raises(SecretsMissing, match=r"mode 0640.*chmod 600"):
        secrets.load(path=file, make=False)


def test_token_keys_are_read_by_id() -> None:
    assert secrets.parse_token_keys(f"1:{'00' * 32}, 2:{'ff' * 32}") == {1: bytes(32), 2: b"\xff" * 32}


@pytest.mark.parametrize("text", ["", "1", "x:00", f"0:{'00' * 32}", f"256:{'00' * 32}", "1:00", f"1:{'zz' * 32}"])
def test_bad_token_keys_are_refused(text: str) -> None:
    with pytest.raises(SecretsMissing, match="FLASHSALE_TOKEN_KEYS"):
        secrets.parse_token_keys(text)


@pytest.mark.parametrize("text", ["", "00", "zz" * 32])
def test_a_bad_key_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(SecretsMissing, match="PEPPER"):
        secrets.parse_key("PEPPER", text)


def test_the_file_of_an_older_demo_gets_the_missing_secrets(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    secrets.load(path=file, make=True)
    before = [line for line in file.read_text().splitlines() if "RECEIPT" not in line]
    file.write_text("\n".join(before) + "\n")
    os.environ.clear()
    secrets.load(path=file, make=True)
    assert file.read_text().splitlines()[:-1] == before
    assert file.read_text().splitlines()[-1] == f"FLASHSALE_RECEIPT_KEY={os.environ['FLASHSALE_RECEIPT_KEY']}"


def test_a_file_that_a_demo_did_not_make_is_never_changed(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    file.write_text("FLASHSALE_PEPPER=own\n")
    file.chmod(0o600)
    with pytest.raises(SecretsMissing):
        secrets.load(path=file, make=True)
    assert file.read_text() == "FLASHSALE_PEPPER=own\n"


def test_old_public_keys_are_read_one_by_one() -> None:
    assert secrets.parse_public_keys("") == []
    published = [key["x"] for key in key_set([bytes(32), b"\xff" * 32])["keys"]]
    assert secrets.parse_public_keys(", ".join(published)) == [bytes(32), b"\xff" * 32]


@pytest.mark.parametrize("text", ["x", "AAAA", "00" * 32])
def test_bad_old_public_keys_are_refused(text: str) -> None:
    with pytest.raises(SecretsMissing, match="FLASHSALE_RECEIPT_OLD_KEYS"):
        secrets.parse_public_keys(text)
