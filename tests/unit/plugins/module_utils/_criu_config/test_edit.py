# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.edit import edit, normalize
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import lint

OWN = "# head\ntimeout 30   # slow disks\n\n  shell-job\nskip-mnt /a # a\nskip-mnt /b\n"
BEGIN, END = "# BEGIN MANAGED BY us\n", "# END MANAGED BY us\n"

EDITS = [
    pytest.param("", {"timeout": 5}, {}, "timeout 5\n", id="empty-file"),
    pytest.param("shell-job", {"timeout": 5}, {}, "shell-job\ntimeout 5\n", id="no-newline-at-the-end"),
    pytest.param(OWN, {"timeout": 30, "shell-job": True, "skip-mnt": ["/b", "/a"]}, {}, OWN, id="right"),
    pytest.param("shell-job", {"shell-job": True}, {}, "shell-job", id="right-without-newline"),
    pytest.param(OWN, {"timeout": 60}, {}, OWN.replace("30", "60"), id="value-edited-comment-kept"),
    pytest.param(OWN, {"timeout": False}, {}, OWN.replace("timeout 30   # slow disks\n", ""), id="removed"),
    pytest.param(OWN, {"skip-mnt": ["/a", "/c"]}, {}, OWN.replace("/b", "/c"), id="list-changed"),
    pytest.param(OWN, {"skip-mnt": []}, {}, OWN.partition("skip-mnt")[0], id="list-emptied"),
    pytest.param(OWN, {"no-shell-job": True}, {}, OWN.replace("shell-job", "no-shell-job"), id="negated"),
    pytest.param("timeout 5\ntimeout 6\n", {"timeout": 6}, {}, "timeout 6\n", id="duplicate-goes"),
    pytest.param("verbosity 4 # loud\n", {"verbosity": 4}, {}, "verbosity=4 # loud\n", id="optional-value-mended"),
    pytest.param("timeout\t5\n", {"timeout": 5}, {}, "timeout 5\n", id="tab-mended"),
    pytest.param("timeout = 50\n", {"timeout": 50}, {}, "timeout 50\n", id="blanks-around-equals-mended"),
    pytest.param("log-file a.log junk\n", {"log-file": "a.log"}, {}, "log-file a.log\n", id="trailing-text-mended"),
    pytest.param("timeout=5\n", {"timeout": 5}, {}, "timeout=5\n", id="equals-sign-stays"),
    pytest.param(OWN, {"timeout": 30}, {"exclusive": True}, "# head\ntimeout 30   # slow disks\n\n", id="exclusive"),
    pytest.param(OWN, {"tcp-close": True}, {"block": "us"}, f"{OWN}{BEGIN}tcp-close\n{END}", id="block-added"),
    pytest.param(
        f"{BEGIN}# why\ntcp-close\nlink-remap\n{END}shell-job\n",
        {"tcp-close": True, "timeout": 5},
        {"block": "us"},
        f"{BEGIN}# why\ntcp-close\ntimeout 5\n{END}shell-job\n",
        id="block-changed",
    ),
    pytest.param(f"{BEGIN}tcp-close\n{END}shell-job\n", {}, {"block": "us"}, "shell-job\n", id="block-removed"),
    pytest.param("frobnicate 1\n", {"frobnicate": 2}, {}, "frobnicate 2\n", id="option-that-nobody-knows"),
]


@pytest.mark.parametrize(("text", "options", "how", "expected"), EDITS)
def test_edit(text: str, options: dict[str, Any], how: dict[str, Any], expected: str) -> None:
    wanted = normalize(options)
    assert edit(text, wanted, **how) == expected
    assert edit(expected, wanted, **how) == expected, "a second run changes something"


def test_what_is_rendered_is_right() -> None:
    options = {"tcp-established": True, "verbosity": 4, "cpu-cap": "fpu", "timeout": 5, "skip-mnt": ["/a", "/b"]}
    assert lint(edit("", normalize(options)), "default", (4, 2, 1)) == []


@pytest.mark.parametrize(
    "text", [BEGIN, END, f"{BEGIN}{END}{BEGIN}{END}", f"{END}{BEGIN}"], ids=["no-end", "no-begin", "two", "turned"]
)
def test_broken_block(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        edit(text, {}, block="us")
    assert caught.value.reason == "block_broken"


@pytest.mark.parametrize("name", ["", "two words", "line\nbreak", " blank"])
def test_name_that_makes_no_line(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        normalize({name: True})
    assert caught.value.reason == "option_invalid"


def test_normalize() -> None:
    assert normalize({"a": True, "b": False, "c": None, "d": 5, "e": ["x", "y"]}) == {
        "a": [None],
        "b": [],
        "c": [],
        "d": ["5"],
        "e": ["x", "y"],
    }
