# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that the RETURN of a module documents all keys and reasons of its failures, and no others."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any, Iterable

import pytest
import yaml

from ansible_collections.criu.hosts.plugins.module_utils._criu.known_errors import KNOWN_ERRORS, LAST_RESORTS
from ansible_collections.criu.hosts.tests.unit.contracts.call_graph import CallGraph, Unit
from ansible_collections.criu.hosts.tests.unit.contracts.failures import Found, failures, fields_of
from ansible_collections.criu.hosts.tests.unit.contracts.layout import MODULES, TREE, place

GRAPH = CallGraph(TREE)

# Functions of _core whose failures need a step of one of these classes in a plan, or one of these keywords.
NEED = {
    "_os_error": {"Kill", "Link", "MakeDir", "Remove", "Rename", "Together", "Unpack", "WriteFile", "creates_partial"},
    "locked": {"Together", "lock"},
    "_timed_out": {"time_limit"},
    "_also_failed": {"Together", "always", "explain", "undo"},
}
# Words that a module reaches by name and never returns, and why.
SAID_BY_CRIU = "CRIU does not say it of this kind, or for this action"


def not_said(kind: str, action: str, *but: str) -> dict[str, str]:
    """Returns the reasons of CRIU's errors that are looked for with another kind or action only."""
    every = (*KNOWN_ERRORS, *LAST_RESORTS)
    rows = {row.cause.reason: False for row in every}
    for row in every:
        rows[row.cause.reason] |= kind in row.kinds and action in row.actions
    return {reason: SAID_BY_CRIU for reason, said in rows.items() if not said and reason not in but}


# What a restore would fail with is not a failure of checkpoint_info, but in the list reasons of its result.
JUDGED = """
    ability_missing address_in_use apparmor_parser_missing apparmor_profile_missing
    architecture_mismatch archive_path_unsafe archive_pre_dump archive_runtime_missing categories_shared
    categories_unknown cgroup_mismatch config_broken container_ending container_exists container_missing
    container_paused cpu_mismatch criu_missing criu_not_permitted criu_too_old criu_without_selinux
    dependency_restarted disk_full engine_too_old file_lock_held files_changed has_dependencies
    host_mounts_at_risk image_missing images_invalid images_path_unsafe images_pre_dump in_pod
    kernel_too_old lsm_mismatch mount_source_missing name_in_use network_missing not_checkpointed
    option option_invalid parent_changed parent_missing
    pid_in_use podman_missing policy_missing port_in_use process_running
    rootless_unsupported shell_job_needed systemd_missing terminal_missing tool_failed tool_missing
    decryption_key_missing timed_out trust_policy_invalid trust_refused
    unit_invalid unit_running volume_exists cmd containers label pid profile rc refusals stderr stdout
"""


NEVER: dict[str, dict[str, str]] = {
    "checkpoint_info": {JUDGED: "attempts() keeps it for the list reasons"},
    "container_checkpoint": {
        **not_said("container", "checkpoint", "mount_replaced", "apparmor_profile_missing"),
        "criu_not_permitted": "it needs root",
        "new_name_with_tcp": "it has no option new_name",
        "archive_unreadable": "the look at an unfinished archive catches it",
        "archive_invalid archive_runtime_missing cgroup_in_use container_exists": "podman prints it for a restore only",
        "image_missing name_in_use volume_exists": "podman prints it for a restore only",
        "address_in_use": "podman prints it for a restore only",
        "decryption_failed": "it restores in place only",
    },
    "container_restore": {
        **not_said("container", "restore"),
        "criu_not_permitted": "it needs root",
        "signing_failed": "it has no option signing_key",
    },
    "checkpoint_retention": {
        "podman_missing": "a host without the engine has no container",
        "archive_invalid archive_unreadable has_dependencies in_pod": "the look at an unfinished archive catches it",
        "cleanup_failed signing_failed timed_out": "it has no option signing_key, and so runs no such step",
    },
    "process_checkpoint": {
        **not_said("process", "checkpoint"),
        "process_ended": "the process that a killed task has restored is known",
    },
    "process_restore": {
        **not_said("process", "restore", "shell_job_needed"),
        "parent_invalid": "it has no option parent_path",
        "signing_failed": "it has no option signing_key",
    },
    "nextcloud_config": {
        "tool_failed cmd stdout stderr": "a failure of occ becomes occ_failed, without its output: it may have secrets",
    },
}


def returned(path: Path) -> dict[str, Any]:
    loaded = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{path.stem}")
    return yaml.safe_load(loaded.RETURN)


def documented_reasons(path: Path) -> list[str]:
    """The words in the lines ``V(WORD) if ...``."""
    lines = returned(path)["reason"]["description"]
    return [found.group(1) for found in (re.match(r"V\((\w+)\) if ", line) for line in lines) if found]


def _planned(units: Iterable[Unit]) -> set[str]:
    """Returns the names of the classes that these units use, and of the keywords in their calls."""
    found: set[str] = set()
    for unit in units:
        if place(unit.path).startswith("_core/"):
            continue
        found |= {other.name for other in GRAPH.mentions(unit)[0] if other.class_}
        for call in (node for node in unit.live if isinstance(node, ast.Call)):
            found |= {keyword.arg or "" for keyword in call.keywords}
            made = GRAPH.target(unit, call.func)
            if isinstance(made, Unit) and made.class_ and place(made.path) == "_core/plan.py":
                found |= {*fields_of(made.class_)[: len(call.args)]}
    return found


@cache
def found(path: Path) -> Found:
    """Returns the keys and reasons that the failures of a module may have."""
    units = GRAPH.reach(path, "main")
    planned = _planned(units)
    idle = {name for name, needs in NEED.items() if not needs & planned}
    units = {unit for unit in units if unit.name not in idle or not place(unit.path).startswith("_core/")}
    result = failures(GRAPH, units)
    never = {word for words in NEVER.get(path.stem, ()) for word in words.split()}
    assert never <= {*result.reasons, *result.facts}, "NEVER has a word that is not in the call graph"
    for words in (result.reasons, result.facts):
        for word in never & set(words):
            del words[word]
    return result


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_reasons_are_documented(path: Path) -> None:
    text = returned(path)["reason"]
    assert text["returned"] == "failure" and text["type"] == "str"
    reasons = documented_reasons(path)
    assert len(reasons) == len(set(reasons)), "listed twice"
    assert text["sample"] in reasons
    assert set(reasons) == set(found(path).reasons)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_facts_are_documented(path: Path) -> None:
    facts = set(found(path).facts)
    documented = {key for key, text in returned(path).items() if "failure" in str(text["returned"])}
    assert facts == documented - {"reason"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_reasons_are_listed_once(path: Path) -> None:
    """They are only in RETURN: a second list would soon differ."""
    loaded = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{path.stem}")
    texts = [loaded.DOCUMENTATION]
    for name in yaml.safe_load(loaded.DOCUMENTATION)["extends_documentation_fragment"]:
        file, dummy, section = name[len("criu.hosts.") :].partition(".")
        fragment = importlib.import_module(f"ansible_collections.criu.hosts.plugins.doc_fragments.{file}")
        texts.append(getattr(fragment.ModuleDocFragment, section.upper() or "DOCUMENTATION"))
    notes = "\n".join(note for text in texts for note in yaml.safe_load(text).get("notes", ()))
    assert set(re.findall(r"\bV\(([a-z_]+)\)", notes)) & set(found(path).reasons) == set()
