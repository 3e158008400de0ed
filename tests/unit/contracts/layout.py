# SPDX-License-Identifier: GPL-3.0-or-later
"""Names each file of plugins/module_utils by its place in the folders, also while the layout is flat."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.criu.hosts.tests.unit.contracts.source_tree import ROOT, SourceTree

TREE = SourceTree()
BASE = ROOT / "plugins/module_utils"
UTILS = TREE.files("plugins/module_utils")
MODULES = TREE.files("plugins/modules")

# The places of files of the flat layout that the tables of the contract tests name. It goes with the last flat file.
MOVED = {
    "_apply.py": "_core/apply.py",
    "_command.py": "_core/command.py",
    "_context.py": "_core/context.py",
    "_module.py": "_core/module.py",
    "_unpack.py": "_core/unpack.py",
    "_loaded_policy.py": "_lsm/_selinux/loaded_policy.py",
    "_policy_rules.py": "_lsm/_selinux/policy/rules.py",
    "_traces.py": "_lsm/object_labels.py",
    "_readiness.py": "_criu/readiness.py",
    "_remedies.py": "_criu/remedies.py",
    "_denial.py": "_denials/explain.py",
    "_denial_known.py": "_denials/known.py",
    "_denial_remedies.py": "_denials/remedies.py",
    "_criu_callers.py": "_criu_config/readers.py",
    "_archive.py": "_store/archive.py",
    "_engines.py": "_engines/registry.py",
    "_config_dump.py": "_engines/podman/archive.py",
    "_losses.py": "_engines/podman/losses.py",
    "_podman.py": "_engines/podman/engine.py",
    "_podman_causes.py": "_engines/podman/causes.py",
    "_rootless.py": "_engines/podman/rootless.py",
    "_process_restore.py": "_process/restore.py",
    "_checkpoint.py": "_container/checkpoint.py",
    "_restore.py": "_container/restore.py",
    "_unit_program.py": "_unit/stateful/program.py",
    "_unit_state.py": "_unit/stateful/state.py",
    "_unit_state_main.py": "_unit/stateful/main.py",
    "_unit_state_run.py": "_unit/stateful/run.py",
    "_unit_state_text.py": "_unit/stateful/layout.py",
    "_nextcloud.py": "_nextcloud/upgrade.py",
    "_nextcloud_read.py": "_nextcloud/host.py",
    "_occ.py": "_nextcloud/settings.py",
}


def flat() -> bool:
    """Whether plugins/module_utils has no folders yet."""
    return not any(path.parent != BASE for path in UTILS)


def place(path: Path) -> str:
    """``_core/apply.py`` for plugins/module_utils/_core/apply.py; ``modules/NAME.py`` for a module."""
    if not path.is_relative_to(BASE):
        return str(path.relative_to(ROOT / "plugins"))
    inside = str(path.relative_to(BASE))
    if inside in MOVED:
        return MOVED[inside]
    return inside.replace("_unit_", "_unit/", 1) if flat() and inside.startswith("_unit") else inside
