# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON of other origin: one kind of failure, whatever the text is."""

from __future__ import annotations

import json

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import DEPTH_LIMIT, parse_json, parse_object


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


BAD = [
    pytest.param(None, id="none"),
    pytest.param("", id="empty"),
    pytest.param("{", id="cut-off"),
    pytest.param("\0", id="nul"),
    pytest.param("{}{}", id="two-values"),
    pytest.param("\ufeff{}", id="byte-order-mark"),
    pytest.param('"a\nb"', id="newline-in-a-string"),
    pytest.param("NaN", id="nan"),
    pytest.param("[Infinity]", id="infinity"),
    pytest.param('{"a": -Infinity}', id="minus-infinity"),
    pytest.param("1e999", id="float-beyond-the-largest"),
    pytest.param("-1e999", id="float-below-the-smallest"),
    pytest.param("9" * 5000, id="digits"),
    pytest.param("-" + "9" * 50_000_000, id="digits-that-take-hours"),
    pytest.param(nested(DEPTH_LIMIT + 1), id="deep"),
    pytest.param(nested(100_000), id="very-deep"),
    pytest.param(nested(100_000, '{"a":', "}"), id="very-deep-objects"),
    pytest.param("[" * 1_000_000, id="very-deep-without-an-end"),
    pytest.param(r'"\ud800"', id="half-a-character"),
    pytest.param(r'{"\udfff": 1}', id="half-a-character-as-a-key"),
    pytest.param(b"\xff", id="not-utf-8"),
    pytest.param(b"\xff\xfe[\x001\x00]\x00", id="utf-16"),
]


@pytest.mark.parametrize("text", BAD)
def test_one_kind_of_failure(text: str | bytes | None) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, True, 0, -(1 << 64), 1.5, "a", [], {}, {"a": [{"b": "é\n\0"}]}])
def test_values(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def test_the_deepest_that_is_read() -> None:
    assert parse_json(nested(DEPTH_LIMIT)) == json.loads(nested(DEPTH_LIMIT))


def test_bytes_that_are_not_utf8_are_kept() -> None:
    assert parse_json(b'["na\xefve"]') == ["na\udcefve"]


def test_a_wide_value_is_not_deep() -> None:
    assert len(parse_json(json.dumps([[]] * 100_000))) == 100_000


@pytest.mark.parametrize("text", ["null", "[]", '"a"', "5", "true", "[{}]", ""])
def test_no_object(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_object(text)


def test_object() -> None:
    assert parse_object('{"a": 1}') == {"a": 1}
