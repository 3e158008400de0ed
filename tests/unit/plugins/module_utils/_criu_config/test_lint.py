# SPDX-License-Identifier: GPL-3.0-or-later
"""The linter against what four real CRIUs said of the same text.

The recording 4.2.1-config-answers.jsonl has a case a line: the text (one character a byte), the exit status of
``criu --config /proc/self/fd/0 --version`` of each version, the first line that 4.2.1 says, the exit status of
4.2.1's ``criu check --config FILE``, and the words of the linter.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import version_text, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import lint, parse, summary
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.options import ALL, HARM, KINDS, known

FIXTURES = Path(__file__).parents[3] / "fixtures/criu"
VERSIONS = ("3.17.1", "4.1.1", "4.2.1", "4.3")
ANSWERS = [
    json.loads(line) for line in (FIXTURES / "4.2.1-config-answers.jsonl").read_text(encoding="utf-8").splitlines()
]


def codes(text: str, kind: str = "default", version: str = "4.2.1", allow: tuple[str, ...] = ()) -> list[str]:
    return [finding.code for finding in lint(text, kind, version_tuple(version), allow)]


def text_of(answer: dict[str, Any]) -> str:
    return answer["text"].encode("latin-1").decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("version", VERSIONS)
def test_table_is_that_of_the_real_program(version: str) -> None:
    recorded = (FIXTURES / f"{version}-options.txt").read_text(encoding="utf-8").splitlines()
    mine = {f"{name} {option.takes}" for name, option in known(version_tuple(version)).items()}
    assert mine == set(recorded)


def test_every_harmful_option_says_why() -> None:
    assert {option.base for option in ALL.values() if option.harm} == set(HARM)


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer["id"] for answer in ANSWERS])
def test_words_of_the_linter(answer: dict[str, Any]) -> None:
    assert codes(text_of(answer)) == answer["codes"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("answer", ANSWERS, ids=[answer["id"] for answer in ANSWERS])
def test_what_criu_refuses_is_refused(answer: dict[str, Any], version: str) -> None:
    refused = answer["rc"][version] != 0
    assert not refused or codes(text_of(answer), version=version)


def test_the_recording_has_holes_of_both_ways_to_ask_criu() -> None:
    """Guards the recording: an empty one would let the tests above pass."""
    version_holes = [answer["id"] for answer in ANSWERS if answer["rc"]["4.2.1"] == 0 and answer["codes"]]
    check_holes = [answer["id"] for answer in ANSWERS if answer["check"] == 0 and answer["codes"]]
    assert len(version_holes) >= 50 and len(check_holes) >= 50
    assert {answer["rc"]["4.2.1"] for answer in ANSWERS} == {0, 1, -6}


BY_KIND = [
    pytest.param("log-file dump.log\n", {"default": [], "runc": ["risky"], "container": ["risky"]}, id="log-file"),
    pytest.param("help\n", {kind: ["not_for_files"] for kind in KINDS}, id="help"),
    pytest.param("lsm-profile selinux:system_u:system_r:container_t:s0:c1,c2\n", {"runc": ["risky"]}, id="label"),
    pytest.param("network-lock nftables\n", {"default": [], "runc": [], "user": []}, id="lock"),
    pytest.param("tcp-established\n", {kind: [] for kind in KINDS}, id="tcp"),
]


@pytest.mark.parametrize(("text", "expected"), BY_KIND)
def test_kinds(text: str, expected: dict[str, list[str]]) -> None:
    assert {kind: codes(text, kind) for kind in expected} == expected


BY_VERSION = [
    pytest.param("unprivileged\n", "default", {"3.17.1": ["unknown_option"], "3.18": []}, id="unprivileged"),
    pytest.param("network-lock skip\n", "default", {"3.17.1": ["value_invalid"], "3.19": []}, id="lock-skip"),
    pytest.param(
        "network-lock nftables\n",
        "runc",
        {"3.17.1": ["crashes_criu"], "4.1.1": ["crashes_criu"], "4.2": ["crashes_criu"], "4.2.1": [], "4.3": []},
        id="lock-over-rpc",
    ),
    pytest.param(
        "compress\nimage-io-mode direct\nplugin-option cuda.device-map=0=1\n",
        "default",
        {"4.2.1": ["unknown_option"] * 3, "4.3": []},
        id="4.3",
    ),
    pytest.param("frobnicate\n", "default", {"4.3": ["unknown_option"], "5.0": ["unknown_option"]}, id="unknown"),
    pytest.param("tcp-est\n", "default", {"5.0": ["abbreviated"]}, id="abbreviated-stays"),
]


@pytest.mark.parametrize(("text", "kind", "expected"), BY_VERSION)
def test_versions(text: str, kind: str, expected: dict[str, list[str]]) -> None:
    assert {version: codes(text, kind, version) for version in expected} == expected


def test_lock_over_rpc_crashes_where_it_was_seen_to() -> None:
    """The recording: exit status of ``criu swrk`` whose request to dump no process names a file with that line."""
    text = (FIXTURES / "4.2.1-network-lock-over-rpc.txt").read_text(encoding="utf-8")
    recorded = dict(line.split() for line in text.splitlines())
    assert set(recorded) == set(VERSIONS)
    for version, status in recorded.items():
        assert ("crashes_criu" in codes("network-lock nftables\n", "runc", version)) is (status == "-11")


def test_action_script_stops_an_old_criu_under_a_runtime() -> None:
    text = "action-script /usr/local/sbin/hook\n"
    assert codes(text, "runc", "3.18", ("action-script",)) == ["crashes_criu"]
    assert codes(text, "user", "3.18", ("action-script",)) == []
    assert codes(text, "runc", "3.19", ("action-script",)) == []


def test_unknown_option_of_a_newer_criu_is_a_warning() -> None:
    assert [finding.severity for finding in lint("frobnicate\n", "default", (5, 0))] == ["warning"]
    assert summary(lint("frobnicate\n", "default", (5, 0))) == ""


GOOD_VALUES = [
    "timeout 0", "ghost-limit 20M", "cpu-cap=fpu,^ins", "cpu-cap", "manage-cgroups", "verbosity=4", "port 27",
    "external mnt[/data]:data", "external dev[8/1]:disk", "external file[1f:2b]", "external mnt[]:ms",
    "external unix[123]", "external net[4026]:extRootNetNS", "external tty[8800:15]", "skip-mnt /data",
    "ext-mount-map /data:data", "ext-mount-map auto", "enable-fs all", "file-validation buildid", "empty-ns net",
    "pre-dump-mode read", "network-lock skip", "tls-cert /etc/pki/criu.pem", "veth-pair eth0=veth1",
    "irmap-scan-path /srv", "cgroup-dump-controller memory", "ext-unix-sk=17", "address 10.0.0.1",
]  # fmt: skip
BAD_VALUES = [
    "timeout 5s", "timeout -1", "timeout 99999999999", "ghost-limit 1g", "ghost-limit 9999999999G", "cpu-cap=fpu,x",
    "verbosity=5", "port 65536", "external file[zz:1]", "external mnt", "skip-mnt data", "ext-mount-map data",
    "empty-ns pid", "tls-cert criu.pem", "veth-pair eth0",
]  # fmt: skip


@pytest.mark.parametrize("line", GOOD_VALUES)
def test_right_value(line: str) -> None:
    assert codes(f"{line}\n") == []


@pytest.mark.parametrize("line", BAD_VALUES)
def test_wrong_value(line: str) -> None:
    assert codes(f"{line}\n") == ["value_invalid"]


@pytest.mark.parametrize(
    ("line", "right"), [("compress-block 256K", True), ("compress-block 3K", False), ("compress-block 8M", False)]
)
def test_size_of_a_block(line: str, right: bool) -> None:
    assert (codes(line, version="4.3") == []) is right


@pytest.mark.parametrize("text", ["# c\r\n\r\n", "timeout 5", "\t timeout 5 # a\tb\n", "\n\n#\n", "   "])
def test_harmless(text: str) -> None:
    assert codes(text) == []


@pytest.mark.parametrize("text", ["shell-job\t# c\n", "shell-job\t \n", "timeout 5\t# five\n", "timeout\t5\n"])
def test_tab_behind_the_name_is_refused_wherever_it_stands(text: str) -> None:
    assert codes(text) == ["tab"]


def test_escaped_quote_in_a_comment_moves_criu_off_the_value() -> None:
    assert codes('cgroup-props x #   say \\"it\\" again\n') == ["quoting"]
    assert codes('shell-job # say \\"it\\" again\n') == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [('root "/srv/a#b/cccccccccc"\n', ["quoting"]), (f"log-file {'a' * 5000}\n", ["line_too_long"])],
    ids=["hash-in-quotes", "long"],
)
def test_more_that_no_recording_shows(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


def test_suggestion_and_summary() -> None:
    findings = lint("tcp-establised\nTIMEOUT 5\nhelp\n", "default", (4, 2, 1))
    assert "Write tcp-established." in findings[0].message and "Write timeout." in findings[1].message
    assert summary(findings).endswith("And 2 more: not_for_files, unknown_option.")


def test_repeated_options_may_repeat_with_other_values() -> None:
    assert codes("skip-mnt /a\nskip-mnt /b\n") == []
    assert codes("skip-mnt /a\nskip-mnt /a\n") == ["duplicate"]


def test_contradiction_names_both_lines() -> None:
    finding = lint("tcp-close\n\ntcp-established\n", "default", (4, 2, 1))[0]
    assert finding.line == 3 and "line 1 says tcp-close" in finding.message


def test_parse_keeps_comment_and_form() -> None:
    line = parse("  manage-cgroups=ignore   # v1\n")[0]
    assert (line.indent, line.name, line.form, line.value, line.tail) == (
        "  ",
        "manage-cgroups",
        "=",
        "ignore",
        "   # v1",
    )


def test_version_text() -> None:
    assert version_text(version_tuple("4.2.1")) == "4.2.1"
