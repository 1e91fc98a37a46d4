"""A phone of 2019 can read the scripts of our pages: ES2017 and no function that came later."""

from pathlib import Path

import pytest

from tests.house.old_browsers import too_new

STATIC = Path(__file__).parents[2] / "flashsale/static/flashsale"
TEMPLATE = STATIC.parents[1] / "templates/flashsale/snippet.js"
SCRIPTS = sorted([*STATIC.glob("*.js"), TEMPLATE])
NEW = [
    "a ||= b", "a &&= b", "a ??= b", "a ?? b", "a?.b", "a?.[0]", "a?.()", "try { a } catch { b }", "({ ...a })",
    "const { a, ...b } = c", "f({ a, ...b })", "1n", "0xffn", "1_000", "class A { #a = 1 }", "class A { a = 1 }",
    "await a", "async () => { for await (const a of b) c }", "async function* a() {}", "import a from 'b'",
    "import('b')",
    "export const a = 1", "a.flatMap(b)", "Object.fromEntries(a)", "a.at(-1)", "a.replaceAll(b, c)", "BigInt(1)",
    "AbortSignal.timeout(1)", "Promise.allSettled(a)", "structuredClone(a)", "crypto.randomUUID()", "/(?<=a)b/.test(c)",
    "/(?<a>b)/.test(c)", "/a/s.test(b)", r"/\p{L}/u.test(a)", "`${a ?? b}`", "`${a?.b}`",
    "a = b ? c : d?.e", "a / b?.c / d",
    "a = /b/; c?.d",
]  # fmt: skip
OLD = [
    "a || b", "a && b", "a ? .5 : b", "a ? b : c", "try { a } catch (_) {}", "[...a]", "f(...a)", "function a(...b) {}",
    "const [a, ...b] = c", "const { a, b: { c } } = d", "async function a() { await b }", "async () => { await a }",
    "2 ** 3", "a.flatten", "at(1)", "any", '"a?.b ?? c"', "'...'", "// a?.b", "/* a ??= b */", "/a??b/.test(c)",
    "a / b / c",
    "x = a ? /b?.c/ : /[/]/g", "`a?.b`", "`${a}`", "1000", "0xff", "f(a, ...b)", "({ a, b })", "a.timeoutMs",
]  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_of_a_page_is_no_newer_than_es2017(script: Path) -> None:
    assert too_new(script.read_text(encoding="utf-8")) == []


def test_all_scripts_are_found() -> None:
    assert {"letter.js", "line.js", "snippet.js", "work.js"} <= {script.name for script in SCRIPTS}


@pytest.mark.parametrize("script", NEW)
def test_newer_syntax_is_found(script: str) -> None:
    assert len(too_new(f"const x = 1;\n{script}")) >= 1
    assert all(found.startswith("line 2: ") for found in too_new(f"const x = 1;\n{script}"))


@pytest.mark.parametrize("script", OLD)
def test_older_syntax_is_left_alone(script: str) -> None:
    assert too_new(script) == []
