"""Finds what a browser of 2019 cannot read in a script: syntax after ES2017, and functions that came later.

Strings, comments and regular expressions are blanked first. New syntax then shows in a few patterns.
"""

import re
from collections.abc import Iterator

_PLAIN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<template>`(?:[^`\\]|\\.)*`)
    |(?:^|[(,=:\[!&|?{};]|\breturn\b)\s*(?P<regex>/(?![*/])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/\w*)""",
    re.DOTALL | re.VERBOSE | re.MULTILINE,
)
_NEW_SYNTAX = {
    r"\?\?=?|\|\|=|&&=|\?\.(?!\d)": "an operator of 2020 or 2021",
    r"\}\s*catch\s*\{": "catch without a name (2019)",
    r"\b(?:\d+|0[xXbBoO][\da-fA-F]+)n\b|\d_\d": "a number of 2020 or 2021",
    r"[#@]|\bclass\b": "a class; its fields are of 2022, so write functions",
    r"\bfor\s+await\b": "for await (2018)",
    r"\basync\s*(?:function\s*)?\*": "an async generator (2018)",
    r"\b(?:import|export)\b": "a module; pages load plain scripts",
}
# A method, or a name of its own.
_NEW_NAMES = (
    r"\.(?:flat|flatMap|fromEntries|trimStart|trimEnd|matchAll|allSettled|replaceAll|any|at|hasOwn|findLast|toSorted|"
    r"randomUUID|replaceChildren|timeout|withResolvers|groupBy|getBigUint64)\b"
    r"|\b(?:globalThis|BigInt|WeakRef|structuredClone|queueMicrotask|BigUint64Array|BigInt64Array)\b"
)
_NEW_REGEX = re.compile(r"\(\?<|\\p\{|/[a-z]*[sdv][a-z]*\Z")
_BRACKET = re.compile(r"\.\.\.|\bawait\b|[{}()\[\]]")
_OBJECT_AFTER = re.compile(r"(?:[(\[,=:?]|&&|\|\||\b(?:return|const|let|var))\s*\Z")


def too_new(script: str) -> list[str]:
    """What is newer than ES2017, each with its line. Empty for a script that a browser of 2019 can read."""
    return [f"line {script.count(chr(10), 0, at) + 1}: {what}" for at, what in sorted(_findings(script))]


def _findings(script: str) -> Iterator[tuple[int, str]]:
    for found in _PLAIN.finditer(script):
        if found["regex"] and _NEW_REGEX.search(found["regex"]):
            yield found.start("regex"), f"the regular expression {found['regex']}"
        for inner in re.finditer(r"\$\{(.*?)\}", found["template"] or "", re.DOTALL):
            yield from ((found.start() + inner.start(1) + at, what) for at, what in _findings(inner[1]))
    code = _PLAIN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), script)
    for pattern, what in (_NEW_SYNTAX | {_NEW_NAMES: "a function that came later"}).items():
        for found in re.finditer(pattern, code):
            yield found.start(), f"{found[0].strip()}: {what}"
    yield from _spreads_and_awaits(code)


def _spreads_and_awaits(code: str) -> Iterator[tuple[int, str]]:
    """Rest and spread in an object (2018), and await outside of all brackets (2022)."""
    brackets: list[str] = []
    for found in _BRACKET.finditer(code):
        text = found[0]
        if text == "{":
            before = code[: found.start()]
            is_object = _OBJECT_AFTER.search(before) and not before.rstrip().endswith("=>")
            brackets.append("object" if is_object else "block")
        elif text in {"(", "["}:
            brackets.append(text)
        elif text in {"}", ")", "]"}:
            del brackets[-1:]
        elif text == "..." and brackets[-1:] == ["object"]:
            yield found.start(), "rest or spread in an object (2018)"
        elif text == "await" and not brackets:
            yield found.start(), "await outside of a function (2022)"
