# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes and reads again: what is rendered parses to the same, and what is quoted is one word to systemd."""

from __future__ import annotations

import dataclasses
import json
import string
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import (
    Manifest,
    parse_manifest,
    render_manifest,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.edit import edit, normalize
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import lint
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import parse as parse_config
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import has_control, quote, word
from ansible_collections.criu.hosts.plugins.module_utils._store import process_record, record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import Last, parse_last, render_last
from ansible_collections.criu.hosts.tests.fuzz.limits import EACH
from ansible_collections.criu.hosts.tests.fuzz.strategies import texts
from ansible_collections.criu.hosts.tests.fuzz.targets import CONF_SEEDS, LAST, MANIFEST, PROCESS_RECORD, RECORD

often = settings(
    max_examples=EACH, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
# No surrogates: JSON of a record is written as UTF-8.
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# What no process chose has no control characters.
LINES = WORDS.filter(lambda text: not has_control(text))
ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "s": " ",
}


def systemd_words(line: str) -> list[str]:
    """Splits a value of ExecStart as systemd does: quotes, escapes, then specifiers (%) and variables ($).

    systemd.service(5), "Command lines"; systemd.syntax(7), "Quoting"; src/basic/extract-word.c.
    """
    assert not any(char in line for char in "\n\r\0"), "the line ends here"
    found: list[str] = []
    place = 0
    while place < len(line):
        if line[place] in " \t":
            place += 1
            continue
        text, quoted = "", ""
        while place < len(line) and (quoted or line[place] not in " \t"):
            char = line[place]
            place += 1
            if char == quoted:
                quoted = ""
            elif not quoted and char in "\"'":
                quoted = char
            elif char == "\\":
                kind = line[place]
                digits = {"x": 2, "u": 4, "U": 8}.get(kind, 3 if kind in "01234567" else 0)
                if kind in ESCAPES:
                    text += ESCAPES[kind]
                    place += 1
                else:
                    assert digits, f"systemd knows no escape \\{kind}"
                    start = place + (kind in "xuU")
                    text += chr(int(line[start : start + digits], 16 if kind in "xuU" else 8))
                    place = start + digits
            else:
                text += char
        assert not quoted, "the quote is never closed"
        found.append(text)
    return [_replaced(_replaced(one, "%"), "$") for one in found]


def _replaced(text: str, sign: str) -> str:
    """Halves doubled signs; a single one would be replaced by something else."""
    parts = text.split(sign * 2)
    assert all(sign not in part for part in parts), f"{sign} is not doubled"
    return sign.join(parts)


ARGUMENTS = st.one_of(
    WORDS,
    texts(b"a b", b"$x ${y} %n %%", b'a"b\\c', b"a\nExecStart=x", b"\x01\x7f", b"@-+!|:", b"").map(
        lambda text: text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    ),
)


@often
@given(ARGUMENTS)
def test_quoted_argument_is_one_word_to_systemd(argument: str) -> None:
    for function in (quote, word):
        try:
            line = function(argument)
        except (CheckpointError, ValueError):
            continue  # an argument that no unit can hold is refused
        assert not any(ord(char) < 32 or ord(char) == 127 for char in line), f"{function.__name__}: {line!r}"
        assert systemd_words(f"/bin/a {line} b") == ["/bin/a", argument, "b"]


@often
@given(st.lists(ARGUMENTS, max_size=4))
def test_several_words_stay_several(arguments: list[str]) -> None:
    try:
        line = " ".join(word(argument) for argument in arguments)
    except (CheckpointError, ValueError):
        return
    assert systemd_words(line) == arguments


def filled(cls: Any, sample: dict[str, Any], **free: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Returns instances of a dataclass like the sample, with texts in the fields ``free``."""
    known = {field.name for field in dataclasses.fields(cls)}
    parts = {name: free.get(name, st.just(value)) for name, value in sample.items() if name in known}
    return st.fixed_dictionaries(parts).map(lambda values: cls(**values))


def tuples(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**values, **{name: tuple(values[name]) for name in names}}


@often
@given(filled(record.Record, tuples(RECORD, "volumes", "ports"), image=LINES, criu=LINES))
def test_record_of_a_container(one: Any) -> None:
    assert record.parse_record(render_record(one)) == one


@often
@given(filled(process_record.ProcessRecord, PROCESS_RECORD, comm=WORDS, exe=WORDS, criu=LINES))
def test_record_of_a_process(one: Any) -> None:
    assert process_record.parse_record(render_record(one)) == one


@often
@given(filled(Last, LAST, why=WORDS, reason=WORDS))
def test_record_of_a_unit(one: Any) -> None:
    assert parse_last(render_last(one)) == one


SAFE = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20)


@often
@given(SAFE, SAFE, st.lists(SAFE, max_size=3).map(tuple))
def test_manifest(architecture: str, built_on: str, libraries: tuple[str, ...]) -> None:
    sample = tuples(MANIFEST, "features", "libraries", "plugins")
    one = Manifest(**{**sample, "architecture": architecture, "built_on": built_on, "libraries": libraries})
    assert parse_manifest(render_manifest(one)) == one


OPTIONS = st.dictionaries(
    st.sampled_from(("log-file", "tcp-established", "network-lock", "ghost-limit", "ext-mount-map", "stream")),
    st.one_of(st.booleans(), st.none(), SAFE, st.integers(0, 10**6), st.lists(SAFE, max_size=3)),
    max_size=4,
)


@often
@given(texts(*CONF_SEEDS), OPTIONS, st.sampled_from(("", "criu.hosts")), st.booleans())
def test_second_edit_changes_nothing(text: str, options: dict[str, Any], block: str, exclusive: bool) -> None:
    try:
        wanted = normalize(options)
        once = edit(text, wanted, block=block, exclusive=exclusive)
    except CheckpointError:
        return
    assert edit(once, wanted, block=block, exclusive=exclusive) == once
    lint(once, "default", (4, 2, 1))
    if exclusive and not block:
        assert {line.name for line in parse_config(once) if line.name} <= set(options)


def test_the_rules_of_systemd_are_those_of_its_manual() -> None:
    assert systemd_words(r'/bin/a "b c" d\x20e "%%n" "$$x" ' + r"'\"f'") == ["/bin/a", "b c", "d e", "%n", "$x", '"f']
    assert json.loads(json.dumps(systemd_words(""))) == []
