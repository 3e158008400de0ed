# SPDX-License-Identifier: GPL-3.0-or-later
"""What runc 1.1.15 and crun 1.21 print, and what is read beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.answers import (
    Known,
    parse_known,
    parse_state,
    render_known,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.causes import cause_of, said
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.config import owner_of, read_config
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.sharing import sharing
from ansible_collections.criu.hosts.tests.unit.bundle_host import BUNDLE, recorded
from ansible_collections.criu.hosts.tests.unit.containers import LABEL

KNOWN = Known("f00", "2026-12-01T02:51:05Z", "", BUNDLE, systemd=False, ends=True)


@pytest.mark.parametrize("runtime", ["runc", "crun"])
@pytest.mark.parametrize("case", ["running", "paused", "stopped", "restored"])
def test_state(runtime: str, case: str) -> None:
    state = parse_state(recorded(runtime, f"state-{case}.json"))
    assert (state.name, state.bundle) == ("web", BUNDLE)
    assert state.status == ("running" if case == "restored" else case)
    assert bool(state.pid) is (case != "stopped")
    assert state.annotations == {"org.criu.config": "/etc/criu/web.conf"}


BAD = [
    pytest.param({"pid": -1}, id="negative"),
    pytest.param({"pid": 1 << 23}, id="no-process"),
    pytest.param({"pid": True}, id="flag"),
    pytest.param({"bundle": "srv/web"}, id="relative"),
    pytest.param({"bundle": "/srv/../etc"}, id="upwards"),
    pytest.param({"id": None}, id="no-name"),
    pytest.param({"status": "run\nning"}, id="control"),
    pytest.param({"annotations": []}, id="list"),
]


@pytest.mark.parametrize("changed", BAD)
def test_state_of_another_kind_is_refused(changed: dict[str, Any]) -> None:
    entry = {**json.loads(recorded("runc", "state-running.json")), **changed}
    with pytest.raises(ValueError, match="is no"):
        parse_state(json.dumps(entry))


def test_note_is_read_as_it_was_written() -> None:
    assert parse_known(render_known(KNOWN)) == KNOWN


@pytest.mark.parametrize("changed", [{"ends": "yes"}, {"systemd": None}, {"id": 1}, {"bundle": "x"}])
def test_note_of_another_kind_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is no|no flags"):
        parse_known(json.dumps({**json.loads(render_known(KNOWN)), **changed}))


CAUSES = [
    pytest.param("runc", "restore-exists", "container_exists", id="runc-exists"),
    pytest.param("crun", "restore-exists", "container_exists", id="crun-exists"),
    pytest.param("runc", "restore-terminal", "console_needed", id="runc-terminal"),
    pytest.param("runc", "checkpoint-bad-config", "config_broken", id="runc-config"),
    pytest.param("crun", "checkpoint-bad-config", "config_broken", id="crun-config"),
    pytest.param("runc", "checkpoint-no-criu", "runtime_cannot_checkpoint", id="runc-without-criu"),
    pytest.param("crun", "checkpoint-no-criu", "runtime_cannot_checkpoint", id="crun-without-criu"),
    pytest.param("crun", "checkpoint-no-libcriu", "runtime_cannot_checkpoint", id="crun-without-libcriu"),
    pytest.param("runc", "checkpoint-full", "tool_failed", id="runc-log"),
    pytest.param("crun", "restore-failed", "tool_failed", id="crun-log"),
]


@pytest.mark.parametrize(("runtime", "case", "reason"), CAUSES)
def test_cause(runtime: str, case: str, reason: str) -> None:
    cause = cause_of(runtime, Completed((runtime,), 1, "", recorded(runtime, f"{case}.txt")))
    assert cause.reason == reason
    assert "\n" not in cause.why and "level=" not in cause.why


def test_what_runc_says_of_its_clean_up_is_no_cause() -> None:
    """It prints first that the container still runs, and then why the dump failed."""
    text = recorded("runc", "checkpoint-full.txt")
    assert text.index("container still running") < text.index("criu failed")
    assert said(text)[0] == "criu failed: type NOTIFY errno 0" and said(text)[-1] == "container still running"


def test_output_without_words() -> None:
    assert cause_of("crun", Completed(("crun",), 7, "", "")).why == "crun failed with the exit status 7"


@pytest.mark.parametrize(("manager", "owner"), [("libpod", "podman"), ("cri-o", "CRI-O"), ("mine", "mine"), ("", "")])
def test_owner(manager: str, owner: str) -> None:
    assert owner_of({"annotations": {"io.container.manager": manager}} if manager else {}) == owner


def test_configuration_of_others_is_read_without_following_links(tmp_path: Path) -> None:
    bundle = tmp_path / "srv/web"
    bundle.mkdir(parents=True)
    assert read_config(Paths(str(tmp_path)), BUNDLE) == {}
    (tmp_path / "secret").write_text('{"process": {}}')
    (bundle / "config.json").symlink_to(tmp_path / "secret")
    assert read_config(Paths(str(tmp_path)), BUNDLE) == {}


def test_containers_with_the_same_label_are_found(tmp_path: Path) -> None:
    """Those of runc have it in state.json, those of crun in a copy of config.json."""
    paths = Paths(str(tmp_path))
    state = json.loads(recorded("runc", "state-file.json"))
    state["config"]["process_label"] = LABEL
    for name, file, content in (
        ("a", "state.json", state),
        ("b", "config.json", {"process": {"selinuxLabel": LABEL}}),
        ("c", "config.json", {"process": {"selinuxLabel": "system_u:system_r:container_t:s0:c1,c2"}}),
        ("d", "config.json", []),
    ):
        (tmp_path / "run/x" / name).mkdir(parents=True)
        (tmp_path / "run/x" / name / file).write_text(json.dumps(content))
    assert sharing(paths, "/run/x", LABEL) == ("a", "b")
    assert sharing(paths, "/run/x", "system_u:system_r:spc_t:s0") == ()
