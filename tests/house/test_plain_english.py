"""Docstrings, comments, documents and texts for people avoid the few turns of English that a pattern can find.

They are hard for a reader whose third language is English. CONTRIBUTING.md asks for more than a pattern can find.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = re.compile(r"(^|/)(static/vendor|migrations)/")
HARD = re.compile(
    r"""\b(
        whoever | whomever | whosoever | whence | whereupon | lest | thereby | thereof | therein | hitherto
      | nobody | no[ ]one | none[ ]of[ ]whom | so[ ]that[ ]none | for[ ](it|him|her|them)[ ]alone
    )\b
    | ,[ ]for[ ](he|it|she|they|we|who|whoever|nobody|there|neither|none)\b""",
    re.IGNORECASE | re.VERBOSE,
)
# What stands between these is a name or a quotation, not our English.
QUOTED = re.compile(r"`[^`\n]*`|https?://\S+")
COMMENT = {
    ".lua": re.compile(r"--.*"),
    ".js": re.compile(r"//.*|/\*.*?\*/", re.DOTALL),
    ".css": re.compile(r"/\*.*?\*/", re.DOTALL),
}
HASH = re.compile(r"(?m)(?:^|\s)#.*")
WHOLE = {".md", ".html", ".txt"}


def _files() -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.splitlines() if not FOREIGN.search(name)]
    return [file for file in files if file.is_file() and file.resolve() != Path(__file__).resolve()]


def _texts(file: Path) -> Iterator[str]:
    """The parts of a file that people read."""
    text = "" if file.suffix in {".json", ".mo", ".svg", ".png", ".ico", ".woff2"} else file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        yield from _python_texts(text, with_strings=not file.is_relative_to(ROOT / "tests"))
    elif file.suffix == ".po":
        for message in read_po(io.StringIO(text)):
            yield from [message.id] if isinstance(message.id, str) else message.id
    elif file.suffix in WHOLE and "requirements" not in file.name:
        yield text
    elif file.suffix in COMMENT:
        yield from (match[0] for match in COMMENT[file.suffix].finditer(text))
    else:
        yield from (match[0] for match in HASH.finditer(text))


def _python_texts(text: str, *, with_strings: bool) -> Iterator[str]:
    """Docstrings and comments, and other strings of three words or more: errors, logs, output, texts for people."""
    tree = ast.parse(text)
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    yield from (ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, nodes))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    # Lines of one comment belong together: a turn may go over two of them.
    lines = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    yield " ".join(f"\n{line}" if number - 1 not in lines else line for number, line in lines.items())
    if with_strings:
        strings = (
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        yield from (string for string in strings if len(string.split()) > 2)


def hard_turns(texts: Iterator[str]) -> set[str]:
    """The turns that these texts contain, each with the words around it."""
    found = (" ".join(QUOTED.sub("`…`", text).split()) for text in texts)
    return {text[max(0, hit.start() - 30) : hit.end() + 30] for text in found for hit in HARD.finditer(text)}


@pytest.mark.parametrize("folder", sorted({file.relative_to(ROOT).parts[0] for file in _files()}))
def test_people_read_plain_english(folder: str) -> None:
    files = [file for file in _files() if file.relative_to(ROOT).parts[0] == folder]
    turns = {str(file.relative_to(ROOT)): hard_turns(_texts(file)) for file in files}
    assert {name: found for name, found in turns.items() if found} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('def f():\n    """Whoever comes first."""', 1),
        ("# It waits,\n# for it is late.", 1),
        ('raise ValueError("else nobody can reach it")', 1),
        ('user = "nobody"', 0),
        ("# Runs as `nobody`.", 0),
        ("# It waits for it.", 0),
        ("# It waits, because it is late.", 0),
    ],
)
def test_the_pattern_finds_what_it_should(text: str, found: int) -> None:
    assert len({turn.lower() for turn in hard_turns(_python_texts(text, with_strings=True))}) == found
