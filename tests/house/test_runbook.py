"""Each command that docs/operate.md tells operators to run exists, with these flags and services."""

import re
import shlex
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
# What may follow a command on its line.
END = re.compile(r"\s(?:#|&&|\|\||\||>|<)\s|`|\s{3,}|$|;\s")
VERBS = {"up", "run", "exec", "stop", "kill", "restart", "build", "ps", "logs"}
OPTIONS = {
    "--build", "--detach", "--scale", "--rm", "--no-deps", "--volume", "--follow", "--since", "--signal", "-T",
}  # fmt: skip


def commands(start: str) -> Iterator[list[str]]:
    """The words of each command that begins with this text, without it."""
    for line in TEXT.splitlines():
        for found in re.finditer(re.escape(start) + r"\s+", line):
            rest = line[found.end() :]
            end = END.search(rest)
            # Square brackets mark what may be left out.
            words = rest[: end.start() if end else None].replace("[", " ").replace("]", " ")
            yield [word.strip(",.:;()") for word in shlex.split(words)]


def parser_of(name: str, words: list[str]) -> ArgumentParser:
    """The parser of a command, or of its subcommand."""
    parser: ArgumentParser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            verb = next(word for word in words if not word.startswith("-"))
            return action.choices[verb]
    return parser


def test_every_command_of_manage_py_exists_with_its_flags() -> None:
    found = [words for words in commands("manage.py") if words]
    assert len(found) > 30
    used: dict[str, set[str]] = {}
    for name, *words in found:
        assert name in get_commands(), name
        known = parser_of(name, words)._option_string_actions
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert [flag for flag in flags if flag not in known] == [], (name, words)
        used.setdefault(name, set()).update(flags)
    # The runbook and the reference together name each flag of the commands for operators.
    for name in ("doctor", "backup", "restore"):
        command = load_command_class(get_commands()[name], name)
        shared = BaseCommand().create_parser("manage.py", name)._option_string_actions
        options = command.create_parser("manage.py", name)._option_string_actions
        own = {option for option in options if option.startswith("--")} - set(shared)
        assert own - used[name] == set(), name


def test_every_service_that_compose_is_told_to_run_exists() -> None:
    services = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"])
    found = list(commands("docker compose"))
    assert len(found) > 15
    for told in found:
        # The profile of a service that does not run by itself has the name of that service.
        if told[0] == "--profile":
            assert told[1] in services, told
        verb, *words = told[2:] if told[0] == "--profile" else told
        assert verb in VERBS, (verb, words)
        skip = False
        for word in words:
            if skip:
                skip = False
            elif word.startswith("-"):
                name = word.partition("=")[0]
                assert name in OPTIONS, (verb, words)
                skip = name in {"--scale", "--volume", "--since", "--signal"} and "=" not in word
            elif verb in {"run", "exec"}:
                assert word in services, (verb, words)
                break  # what follows is a command inside the container
            else:
                assert word in services, (verb, words)


@pytest.mark.parametrize("heading", ["Backups", "Restore", "After a restore", "Upgrade", "The day of a sale", "Alarms"])
def test_the_runbook_has_its_chapters(heading: str) -> None:
    assert re.search(rf"^##+ {heading}$", TEXT, re.MULTILINE)
