# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of other origin stays one word or one value of one line of a unit file."""

from __future__ import annotations

from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import quote, value, word

CONTROLS = ["\n", "\r", "\0", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\r\n"]
INJECTED = '"{}ExecStartPre=+/bin/sh -c evil'


@pytest.mark.parametrize("write", [quote, value])
@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_control_characters_are_refused(write: Callable[[str], str], control: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        write(INJECTED.format(control))
    assert caught.value.reason == "unit_text_invalid"
    assert len(caught.value.message.splitlines()) == 1 and control not in caught.value.message


@pytest.mark.parametrize("control", ["\n", "\r", "\t", "\x1b", "\x7f"], ids=ascii)
def test_words_keep_control_characters_as_escapes(control: str) -> None:
    assert word(f"a{control}b") == f'"a{ascii(control)[1:-1]}b"'


def test_words_cannot_keep_a_nul() -> None:
    with pytest.raises(CheckpointError) as caught:
        word("a\0b")
    assert caught.value.reason == "unit_text_invalid"


def test_value_that_would_continue_the_line() -> None:
    with pytest.raises(CheckpointError) as caught:
        value("text\\")
    assert caught.value.reason == "unit_text_invalid"


@pytest.mark.parametrize(
    "text, written", [("a b", '"a b"'), ('a"b', r'"a\"b"'), ("a\\", r'"a\\"'), ("%n$x", '"%%n$$x"')]
)
def test_quotes(text: str, written: str) -> None:
    assert quote(text) == written == word(text)
