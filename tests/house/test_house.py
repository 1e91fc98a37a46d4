"""Rules for the code that no other tool checks."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_FUNCTION = 60
TOP = {
    "flashsale", "simulation", "config", "tests", "manage.py", "requirements.txt", "docker-compose.yml", "README.md",
    "Makefile", "pyproject.toml", "Dockerfile", "docs", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", ".ci",
    "requirements.in", "requirements-demo.in", "requirements-demo.txt", "requirements-dev.in",
    "requirements-dev.txt", ".gitignore", ".dockerignore", ".env.example",
    "NOTICE",
}  # fmt: skip
NAMELESS = {"utils", "util", "common", "core", "helpers", "helper", "misc"}
# Modules of the product that read the clock of their machine. They serve staff, or write down when something was. Any
# other one compares deadlines that many processes share, and reads flashsale/rules/wall_clock.py.
OWN_CLOCK = {
    "gate": {"untrusted_peers"},
    "life": {
        "alarm_conditions", "alarms", "audit_after_sale", "audit_events", "bank_account", "case_desk", "erase",
        "erase_person", "events", "find_person", "forget_contacts", "held_folder", "key_use",
        "listed_values", "monitor",
        "person_data", "person_requests", "rebuild", "rehearsal_copy", "rehearse", "retention",
        "samples", "sandbox", "sandbox_calls", "schedule", "score", "settlement", "staff_accounts",
        "staff_session", "taken_away", "trail_keys", "waiting_money",
    },
    "rules": {"wall_clock"},
    "web": {"calendar", "metrics_page", "sessions"},
}  # fmt: skip
READS_CLOCK = re.compile(r"timezone\.now\(|(?<![\w.])time\.time(_ns)?\(|datetime\.now\(")
# In halves, so that the pattern does not match this line.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
# What a merge of two branches leaves where both have changed the same lines.
UNMERGED = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
FOREIGN = re.compile(r"(^|/)(static/vendor|migrations|locale)/")


def _ours() -> list[Path]:
    """The files of the repository, and new ones that are not ignored; without vendored and generated files."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.splitlines() if not FOREIGN.search(name)]
    return sorted(file for file in files if file.is_file())


FILES = _ours()
PYTHON = [file for file in FILES if file.suffix == ".py"]
TEXTS = {
    ".py",
    ".lua",
    ".js",
    ".css",
    ".html",
    ".md",
    ".txt",
    ".in",
    ".toml",
    ".yml",
    ".yaml",
    ".json",
    ".conf",
    ".ini",
    ".sh",
}
PROGRAMS = [file for file in FILES if file.suffix in {".py", ".lua", ".js", ".css", ".html"}]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(_text(file)))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_the_top_level_holds_nothing_unexpected() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in FILES} - TOP == set()


def test_functions_fit_into_60_lines() -> None:
    long = {f"{_name(file)}:{f.name}": _lines(f) for file in PYTHON for f in _functions(file)}
    assert {name: lines for name, lines in long.items() if lines > MAX_FUNCTION} == {}


def test_imports_stand_at_the_top() -> None:
    inside = ((file, node) for file in PYTHON for f in _functions(file) for node in ast.walk(f))
    assert [f"{_name(file)}:{n.lineno}" for file, n in inside if isinstance(n, ast.Import | ast.ImportFrom)] == []


def test_tests_share_helpers_and_not_other_tests() -> None:
    """A function that two tests need stands in a module of its own. `conftest` modules hold fixtures only."""
    shared = re.compile(r"^from tests\.(?:\w+\.)*(?:test_\w+|conftest) import", re.MULTILINE)
    assert [_name(file) for file in PYTHON if shared.search(_text(file))] == []


def test_tests_run_coroutines_in_a_thread_of_their_own() -> None:
    # In a worker that has opened a browser, a loop runs in the thread of the tests, and asyncio.run refuses.
    own = {"tests/races/crowd.py", "tests/config/tls_client.py"}
    called = re.compile(r"asyncio\.ru" + r"n\(")
    files = (ROOT / "tests").rglob("*.py")
    found = {file.relative_to(ROOT).as_posix() for file in files if called.search(file.read_text(encoding="utf-8"))}
    assert found == own


def test_files_are_finished() -> None:
    lines = ((file, line) for file in PROGRAMS for line in _text(file).splitlines())
    assert [f"{_name(file)}: {line.strip()}" for file, line in lines if UNFINISHED.search(line)] == []


def test_no_file_has_two_versions_of_a_passage() -> None:
    texts = [file for file in FILES if file.suffix in TEXTS]
    assert len(texts) > 1000
    assert [_name(file) for file in texts if UNMERGED.search(_text(file))] == []


def test_deadlines_are_compared_with_the_clock_of_redis_and_not_with_that_of_a_machine() -> None:
    rooms = ("books", "gate", "life", "providers", "rules", "web")
    reading = [
        file.relative_to(ROOT / "flashsale")
        for file in PYTHON
        if READS_CLOCK.search(_text(file)) and file.is_relative_to(ROOT / "flashsale")
    ]
    found = {(path.parts[0], path.with_suffix("").name) for path in reading if path.parts[0] in rooms}
    assert found == {(room, name) for room, names in OWN_CLOCK.items() for name in names}


def test_names_say_what_is_inside() -> None:
    parts = {_name(file): {part.lower() for part in file.relative_to(ROOT).with_suffix("").parts} for file in PROGRAMS}
    assert [name for name, words in parts.items() if words & NAMELESS] == []


def test_modules_begin_by_saying_what_they_are_for() -> None:
    ours = [file for file in PYTHON if _text(file).strip()]
    assert [_name(file) for file in ours if not ast.get_docstring(ast.parse(_text(file)))] == []


def test_scripts_begin_by_saying_what_they_are_for() -> None:
    scripts = [file for file in FILES if file.suffix == ".lua"]
    assert [_name(file) for file in scripts if not re.match(r"-- \S.{20,}", _text(file))] == []
