# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the regular expressions of the plugins, and makes texts on which a careless one takes hours."""

from __future__ import annotations

import ast
import importlib
import re
import re._parser as parser  # type: ignore[import-not-found]
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Union

from ansible_collections.criu.hosts.plugins.module_utils._criu.causes import pattern_of
from ansible_collections.criu.hosts.plugins.module_utils._criu.known_errors import KNOWN_ERRORS, LAST_RESORTS
from ansible_collections.criu.hosts.tests.fuzz.targets import PLUGINS

ROOT = Path(__file__).parents[2] / "plugins"
# What nearly every pattern accepts somewhere.
COMMON = (" ", "a", "0", "\n")
# Longer texts are documentation.
LONGEST = 400
METHODS = ("match", "search", "fullmatch", "findall", "finditer", "sub", "subn", "split")
Text = Union[str, bytes]


@dataclass(frozen=True)
class Pattern:
    """A regular expression, where it is, and the methods that it is used with."""

    place: str
    text: Text
    flags: int
    methods: tuple[str, ...]


def _is_re(node: ast.AST, *names: str) -> bool:
    """Returns whether a node is a call of ``re.NAME``."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and bool(node.args)
    )


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        if path.stat().st_size:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def _uses() -> dict[str, set[str]]:
    """Returns the methods that each name is used with, as ``NAME.search(...)`` or ``re.search(NAME, ...)``."""
    uses: dict[str, set[str]] = {}
    for dummy_path, tree in _trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            holder = node.args[0] if _is_re(node, *METHODS) else node.func.value
            name = getattr(holder, "id", getattr(holder, "attr", ""))
            if node.func.attr in METHODS and name:
                uses.setdefault(name, set()).add(node.func.attr)
    return uses


def _variable(tree: ast.Module) -> set[str]:
    """Returns the methods that a file uses with patterns that it gets from elsewhere; whole texts without any."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_re(node, *METHODS) and isinstance(node.func, ast.Attribute):
            first = node.args[0]
            if isinstance(first, ast.JoinedStr) and ast.unparse(first).endswith("\\Z'"):
                found.add("fullmatch")
            elif not isinstance(first, (ast.Constant, ast.JoinedStr)) and not getattr(first, "id", "a").isupper():
                found.add(node.func.attr)
    return found or {"fullmatch"}


def _value(node: ast.AST, names: dict[str, Any]) -> Any:
    """Returns the value of an expression; a name that only a function knows stands for the text ``name``."""
    inside = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    known = {**dict.fromkeys(inside, "name"), **names}
    try:
        return eval(compile(ast.Expression(node), "pattern", "eval"), known)  # type: ignore[arg-type]  # noqa: S307
    except (AttributeError, NameError, TypeError, KeyError, IndexError, ValueError):
        return None


def _raw(node: ast.expr, lines: list[str]) -> bool:
    """Returns whether a node is written as a raw text."""
    begin = lines[node.lineno - 1].encode()[node.col_offset :][:3].decode("utf-8", "replace")
    return re.match(r"(?:r|rb|br|rf|fr)[\"']", begin, re.IGNORECASE) is not None


def collect() -> list[Pattern]:
    """Returns each regular expression: in calls of re, compiled ones, raw texts in tables, CRIU's signs."""
    found: dict[tuple[Text, int], Pattern] = {}
    uses = _uses()
    for path, tree in _trees():
        place = str(path.relative_to(ROOT))
        lines = path.read_text(encoding="utf-8").splitlines()
        names = vars(importlib.import_module(f"{PLUGINS}.{place[:-3].replace('/', '.')}"))
        variable = _variable(tree)

        def add(text: Any, flags: int, methods: set[str], place: str = place) -> None:
            if isinstance(text, (str, bytes)) and len(text) < LONGEST and not text[:1].isspace() and _compiles(text):
                wanted = tuple(sorted(methods))
                known = found.get((text, flags))
                merged = tuple(sorted({*known.methods, *wanted})) if known else wanted
                found[(text, flags)] = Pattern(place, text, flags, merged)

        for node in ast.walk(tree):
            if _is_re(node, *METHODS):
                method = node.func.attr  # type: ignore[attr-defined]
                at = {"sub": 4, "subn": 4, "split": 3}.get(method, 2)
                given = [one.value for one in node.keywords if one.arg == "flags"] or node.args[at : at + 1]  # type: ignore[attr-defined]
                flags = int(_value(given[0], names) or 0) if given else 0
                if isinstance(node.args[0], (ast.Constant, ast.JoinedStr)):  # type: ignore[attr-defined]
                    add(_value(node.args[0], names), flags, {method})  # type: ignore[attr-defined]
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                value = names.get(node.targets[0].id)
                if isinstance(value, re.Pattern):
                    add(value.pattern, value.flags & ~re.UNICODE, uses.get(node.targets[0].id) or {"search"})
                elif _raw(node.value, lines):
                    add(_value(node.value, names), 0, uses.get(node.targets[0].id) or variable)
            elif isinstance(node, (ast.Tuple, ast.List, ast.Dict, ast.Call)) and not _is_re(node, "compile"):
                inner = (
                    node.args
                    if isinstance(node, ast.Call)
                    else node.values
                    if isinstance(node, ast.Dict)
                    else node.elts
                )
                for one in inner:
                    if isinstance(one, (ast.Constant, ast.JoinedStr)) and _raw(one, lines):
                        add(_value(one, names), re.IGNORECASE if "causes" in place else 0, variable)
    for known in (*KNOWN_ERRORS, *LAST_RESORTS):
        for sign in known.signs:  # patterns made of templates
            found[(pattern_of(sign), 0)] = Pattern("_criu/known_errors.py", pattern_of(sign), 0, ("match",))
    return sorted(found.values(), key=lambda one: (one.place, str(one.text)))


def _compiles(text: Text) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


_CATEGORY = {"DIGIT": "0", "SPACE": " ", "WORD": "a", "NOT_SPACE": "a", "NOT_WORD": " ", "NOT_DIGIT": "a"}


def _char(items: list[Any]) -> str:
    """Returns a character that a set accepts."""
    negated = str(items[0][0]) == "NEGATE"
    members: set[str] = set()
    for kind, value in items[negated:]:
        if str(kind) == "LITERAL":
            members.add(chr(value))
        elif str(kind) == "RANGE":
            members |= {chr(code) for code in range(value[0], min(value[1], 0x7E) + 1)}
        elif str(kind) == "CATEGORY":
            members.add(_CATEGORY[str(value).removeprefix("CATEGORY_")])
    if not negated:
        return min(members, default="a")
    return next(char for char in "a 0.-x\n=~" if char not in members)


def sample(items: Any) -> str:
    """Returns a text that matches these items of a parsed pattern, nearly."""
    text = ""
    for kind, value in items:
        name = str(kind)
        if name == "LITERAL":
            text += chr(value)
        elif name == "NOT_LITERAL":
            text += "a" if chr(value) != "a" else "b"
        elif name == "ANY":
            text += "a"
        elif name == "IN":
            text += _char(value)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            text += sample(value[2]) * max(value[0], 1)
        elif name == "SUBPATTERN":
            text += sample(value[-1])
        elif name == "BRANCH":
            text += sample(value[1][0])
    return text


def _sequences(items: Any) -> Iterator[list[Any]]:
    """Yields the sequences in a parsed pattern: itself, with each branch in its place, and those inside groups."""
    plain = list(items)
    for number, (kind, value) in enumerate(plain):
        inner = value[-1] if str(kind) == "SUBPATTERN" else value[2] if str(kind).endswith("REPEAT") else None
        if str(kind) == "BRANCH":
            for branch in value[1]:
                yield from _sequences([*plain[:number], *branch, *plain[number + 1 :]])
            return
        if inner is not None and str(kind) == "SUBPATTERN":
            for one in _sequences(inner):
                yield [*plain[:number], *one]
    yield plain


def attacks(pattern: Pattern, size: int) -> Iterator[Text]:
    """Yields texts that a pattern nearly matches, again and again: each beginning of it, repeated in several ways."""
    heads, pieces = {""}, set(COMMON)
    for items in _sequences(parser.parse(pattern.text, pattern.flags)):
        for end in range(1, len(items) + 1):
            head, last = sample(items[:end]), sample(items[end - 1 : end])
            heads |= {head, sample(items[: end - 1])}
            pieces |= {head, last, f"\n{head}"}
    heads = set(sorted(heads, key=len)[:8])
    made: dict[str, None] = {}
    for piece in sorted(pieces - {""}):
        made[piece * (size // len(piece))] = None
    for head in sorted(heads):
        for piece in sorted({*COMMON, *(sorted(pieces - {""}, key=len)[:8])}):
            made[head + piece * (size // len(piece))] = None
    for text in made:
        yield text.encode("latin-1", "replace") if isinstance(pattern.text, bytes) else text


def run(pattern: Pattern, text: Text) -> None:
    """Uses a pattern on a text as the plugins do."""
    compiled: re.Pattern[Any] = re.compile(pattern.text, pattern.flags)
    for method in pattern.methods:
        if method in ("sub", "subn"):
            compiled.sub(b"" if isinstance(text, bytes) else "", text)
        elif method == "finditer":
            compiled.findall(text)
        else:
            getattr(compiled, method)(text)
