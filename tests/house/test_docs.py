"""Links, files, commands, dependencies and settings that the documents name do exist."""

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(
    r"`((?:flashsale|simulation|config|tests|docs|\.ci)/[\w./\-]*|[\w.\-]+\.(?:py|yml|toml|txt|in)|\.env\.example)`"
)
MADE = ("var/", ".env")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _direct(name: str) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in _text(ROOT / name).splitlines())
    return {re.split(r"[\[<>=!~ ;]", line)[0] for line in lines if line and not line.startswith("-")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = LINK.findall(_text(document))
    assert [link for link in links if not (document.parent / link).exists()] == []


def _chapters(path: Path) -> set[str]:
    """The names by which a link may lead into a document: those that GitHub gives to headings, and our own."""
    text = _text(path)
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_a_document_lead_to_a_chapter(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#\s]*)#([^)\s]+)\)", _text(document))
    pages = {name: document.parent / name if name else document for name, _ in links}
    chapters = {name: _chapters(path) for name, path in pages.items() if path.suffix == ".md"}
    assert [f"{name}#{chapter}" for name, chapter in links if chapter not in chapters.get(name, {chapter})] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document: Path) -> None:
    inside = (ROOT, ROOT / "flashsale", document.parent)
    named = [name for name in PATH.findall(_text(document)) if not name.startswith(MADE)]
    assert [name for name in named if not any((folder / name).exists() for folder in inside)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_named_exist(document: Path) -> None:
    text = _text(document)
    targets = set(re.findall(r"^([a-z]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    asked = set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE))
    assert asked - targets == set()
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) - set(get_commands()) == set()


# Names of others that have the word: settings, headers and fields of providers, and calls of libraries.
CALLBACK_OF_OTHERS = re.compile(
    r"\.callback|x-callback-token|made-up-callback-token|StatusCallback|enable_callback|callback_url|callback_type|"
    r"add_done_callback|openid_connect_callback|CallbackOptions|callbacks\b|CallBack\"|webhook or callback|"
    r"A callback gets the person",
    re.IGNORECASE,
)


@pytest.mark.parametrize("folder", ["flashsale", "simulation", "docs", "config"])
def test_a_message_of_a_provider_is_called_a_notification_and_no_callback(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md", ".html", ".po", ".lua"}]
    assert len(files) > 5
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:80]}"
        for path in files
        for line in _text(path).splitlines()
        if re.search(r"call[-_ ]?back", CALLBACK_OF_OTHERS.sub("", line), re.IGNORECASE)
    ]
    assert found == []


@pytest.mark.parametrize("name", ["requirements.in", "requirements-demo.in", "requirements-dev.in"])
def test_every_direct_dependency_stands_in_the_readme_with_its_reason(name: str) -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", _text(README), re.MULTILINE)
    reasons = {package.strip(): why for packages, why in rows for package in packages.split(",")}
    assert {package for package in _direct(name) if not reasons.get(package)} == set()


def test_every_setting_of_the_environment_stands_in_the_operators_table() -> None:
    read = set(re.findall(r'env\.\w+\(\s*"(\w+)"', _text(ROOT / "config/settings.py")))
    told = set(re.findall(r"^\| `(\w+)`", _text(ROOT / "docs/operate.md"), re.MULTILINE))
    assert read - told == set()


def test_every_decision_stands_in_the_list_of_decisions() -> None:
    pages = {path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md")}
    assert set(re.findall(r"\]\((\d{4}-[\w\-]+\.md)\)", _text(ROOT / "docs/adr/README.md"))) == pages


def test_every_word_of_the_glossary_is_there_once_and_names_a_file() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+) \| (.+) \|$", _text(ROOT / "docs/glossary.md"), re.MULTILINE)
    entries = [row for row in rows if row[0] != "word"]
    words = [word for row in entries for word in row[0].split(", ")]
    assert len(entries) > 100
    assert [word for word in words if words.count(word) > 1] == []
    assert [row[0] for row in entries if not re.fullmatch(r"`[\w./]+`", row[2])] == []
    assert [row[2] for row in entries if not (ROOT / row[2].strip("`")).is_file()] == []


def test_constraints_that_the_architecture_names_exist() -> None:
    text = _text(ROOT / "docs/architecture.md").partition("## What PostgreSQL refuses by itself")[2]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text))
    ours = (model for model in apps.get_models() if model._meta.app_label == "flashsale")
    known = {constraint.name for model in ours for constraint in model._meta.constraints}
    assert len(named) > 5
    assert named - known == set()


def test_what_make_quick_runs_exists() -> None:
    listed = _text(ROOT / "Makefile").partition("QUICK := ")[2].partition("\n\n")[0]
    folders = re.findall(r"tests/\w+(?=\s)", listed)
    files = [
        head + name
        for head, names in re.findall(r"addprefix (tests/\w+/test_),([\w. ]+)\)", listed)
        for name in names.split()
    ]
    assert len(folders) >= 4
    assert len(files) >= 5
    assert [name for name in (*folders, *files) if not (ROOT / name).exists()] == []


def test_rows_of_the_security_page_are_short_and_name_a_test() -> None:
    rows = [line for line in _text(ROOT / "docs/SECURITY.md").splitlines() if line.startswith("| ")]
    assert len(rows) > 300
    assert [row[:60] for row in rows if len(row) > 450] == []
    told = [row.split(" | ") for row in rows if not row.startswith("| threat |")]
    assert [row[0] for row in told if len(row) != 4 or "`tests/" not in row[3]] == []
