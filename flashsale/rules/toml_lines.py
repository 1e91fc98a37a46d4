"""Where each key of a TOML file stands, so that an error can name the line. Python's reader does not say it."""

import re
from collections.abc import Mapping

Path = tuple[str | int, ...]
_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEYS = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEAD = re.compile(rf"\s*(\[\[?)\s*({_KEYS})\s*\]\]?\s*(?:#.*)?")
_PAIR = re.compile(rf"\s*({_KEYS})\s*=(.*)")
_LONG = re.compile('"""|' + "'''")


def key_lines(text: str) -> Mapping[Path, int]:
    """The line, from 1, of each table and key of a file that is correct TOML. Tables of a list have their index."""
    found: dict[Path, int] = {(): 1}
    counts: dict[Path, int] = {}
    table: Path = ()
    quote = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if quote:
            quote = "" if quote in line else quote
            continue
        if head := _HEAD.fullmatch(line):
            table = _table(_names(head[2]), counts, in_list=head[1] == "[[")
            found.setdefault(table, number)
        elif pair := _PAIR.match(line):
            found.setdefault((*table, *_names(pair[1])), number)
            opened = _LONG.findall(pair[2])
            quote = opened[-1] if len(opened) % 2 else ""
    return found


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a key; of what is inside a value, that of the value; of a key that is missing, that of its table."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _names(keys: str) -> Path:
    return tuple(name.strip("\"'") for name in re.findall(_KEY, keys))


def _table(names: Path, counts: dict[Path, int], *, in_list: bool) -> Path:
    """The path with the index of each list on the way: that of its newest table."""
    path: Path = ()
    for place, name in enumerate(names):
        path = (*path, name)
        if in_list and place == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
