"""Reads docker-compose.yml and .env.example for the tests."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
# ${NAME:?error text without it}, ${NAME:-default value}, and $$ for a dollar sign.
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+):(?P<kind>[?-])(?P<word>[^}]*)\}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A variable of .env.example: its value, the command that makes one, or an example value."""

    name: str
    value: str
    make: str
    like: str

    def filled(self) -> str:
        """The value that a person has who follows the file."""
        if self.make:
            return subprocess.run(["sh", "-c", self.make], capture_output=True, text=True, check=True).stdout.strip()
        return self.value or self.like


def services() -> dict[str, Any]:
    """The services of the file, without changes."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def variables() -> set[tuple[str, str]]:
    """All variables of the file with their kind: "?" must be set, "-" has a default."""
    lines = (line for line in COMPOSE.read_text().splitlines() if not line.lstrip().startswith("#"))
    return {(hit["name"], hit["kind"]) for line in lines for hit in VARIABLE.finditer(line) if hit["name"]}


def example() -> list[Entry]:
    """The entries of .env.example. A comment is about the next variable only."""
    entries, said = [], {"make": "", "like": ""}
    for line in EXAMPLE.read_text().splitlines():
        told = re.match(r"# (make|like): (.+)", line)
        if told:
            said[told[1]] = told[2]
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            entries.append(Entry(name, value, said["make"], said["like"]))
            said = {"make": "", "like": ""}
    return entries


def filled(node: Any, env: Mapping[str, str]) -> Any:
    """A part of the file with the values of its variables, as an engine replaces them."""
    if isinstance(node, str):
        return VARIABLE.sub(lambda hit: _value(hit, env), node)
    if isinstance(node, list):
        return [filled(part, env) for part in node]
    if isinstance(node, dict):
        return {name: filled(part, env) for name, part in node.items()}
    return node


def _value(hit: re.Match[str], env: Mapping[str, str]) -> str:
    if not hit["name"]:
        return "$"
    if hit["kind"] == "?" and not env.get(hit["name"]):
        raise KeyError(f"{hit['name']}: {hit['word']}")
    return env.get(hit["name"]) or hit["word"]


def seconds(text: str) -> float:
    """The seconds of a duration such as "20s". Raises ValueError for another unit."""
    if not text.endswith("s"):
        raise ValueError(text)
    return float(text.removesuffix("s"))
