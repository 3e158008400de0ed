# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Restores a container as one plan: restore, find it, prove every label, remove or note what was used."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import (
    Situation,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import borrow, read_loan

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.label_proof import Proof
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread


@dataclass
class Restore:
    """Holds what the steps of one restore find; their functions are its methods.

    ``began`` is when it began, in seconds since 1970. ``taken``: the name or id was somebody else's before the engine
    came to it. ``unsound``: the archive was not decrypted to its end. ``noted``: the restore is written down before it
    begins. ``looked``: the engine has answered how the container runs after the restore. ``warnings``: what is not as
    before. ``first`` are steps that the restore needs before it begins.
    """

    ctx: Context
    engine: Engine
    desired: Desired
    situation: Situation
    source: str
    container: Container | None = None
    tree: dict[int, list[Thread]] = field(default_factory=dict)
    proof: Proof | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    taken: bool = True
    unsound: bool = False
    noted: bool = True
    looked: bool = False
    warnings: list[str] = field(default_factory=list)
    first: tuple[Step, ...] = ()

    @property
    def imported_id(self) -> str:
        """The id that a container gets from the archive; empty if it gets a new one."""
        record = self.situation.record
        return record.id if record is not None and self.desired.new_name is None else ""

    @property
    def imports(self) -> bool:
        """Whether the engine makes the container, from an archive or an image."""
        return self.source in ("archive", "image")

    @property
    def what(self) -> str:
        origin = f" from {self.desired.origin!r}" if self.imports else ""
        return f"restore container {self.desired.target!r}{origin}"

    def find(self) -> None:
        """Finds the container as it runs now.

        Raises:
            CheckpointError: tool_failed, it is gone.
        """
        known = self.situation.container if self.source == "container" else None
        pid = self.engine.live_pid(known) if known is not None else 0
        if known is not None and pid:
            self.container = replace(known, pid=pid, status="running")
        else:
            self.container = self.engine.inspect(self.ctx, self.desired.target) or known
        self.looked = True
        if self.container is None:
            raise CheckpointError(
                f"Cannot {self.what}: the container disappeared after its restore. Read the host's journal.",
                reason="tool_failed",
            )

    def unread(self) -> bool:
        """Returns whether it is not known yet how the restored container runs."""
        return not self.looked

    @property
    def lsm(self) -> str:
        """The LSM whose labels are compared: selinux, apparmor, or none."""
        if self.situation.selinux.enabled:
            return "selinux"
        # A task that finds nothing to do need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels

        return host_labels(self.ctx.paths).lsm

    @property
    def wrong(self) -> CheckpointError | None:
        """The label difference that on_label_mismatch: warn has accepted."""
        return self.proof.wrong if self.proof is not None else None

    @property
    def label_facts(self) -> dict[str, Any]:
        """The facts labels and label_differences."""
        return self.proof.facts if self.proof is not None else {"labels": [], "label_differences": []}

    def read_labels(self) -> None:
        """Reads the labels of all threads; raises container_ended."""
        # A task that finds nothing to do need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.label_proof import read_running

        if self.container is not None:
            self.tree = read_running(self.ctx.paths, self.engine, self.container)

    def compare_labels(self) -> None:
        """Compares them with those of the record; raises label_changed."""
        from ansible_collections.criu.hosts.plugins.module_utils._container.label_proof import prove

        in_place = self.source == "container"
        then = f"It is removed, and the {self.source} is kept."
        if in_place:
            then = "It is stopped, and its checkpoint is kept."
        if self.container is not None:
            self.proof = prove(self.ctx.paths, self.desired, self.situation, self.container, self.tree, then)

    def explain(self, error: CheckpointError) -> CheckpointError:
        """Turns a failure of the engine's command into the one that the task reports."""
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.failure import read_failure

        if self.source == "container":
            container, outcome = self.situation.container, "Its checkpoint is kept."
        else:
            found, outcome = self.engine.inspect(self.ctx, self.desired.target), f"The {self.source} is unchanged."
            # A name may lead to a different container, as the beginning of its id.
            container = found if found is not None and found.name == self.desired.target else None
        if error.reason == "decryption_failed":
            # The engine may have read all that it needs, and the container may run: nothing has proved it.
            self.taken, self.unsound = False, True
            return CheckpointError(f"{error.message} {outcome}", reason="decryption_failed", **error.facts)
        told = read_failure(self.ctx.paths, self.engine, error, container, "restore").told(self.what, outcome)
        self.taken = told.reason == "container_exists"
        if self.imports:
            told.facts["log_path"] = ""  # it goes with the container of the failed import
        return told

    def note(self) -> str:
        """Renders the note that names the archive or image from which the container was restored."""
        found = self.container.id if self.container is not None else ""
        entry = {"id": found, "sha256": self.situation.sha256, "archive_path": self.desired.origin}
        return json.dumps(entry) + "\n"

    def left_nothing(self) -> bool:
        """Returns whether a failed import has left no container of its own, which would block the next try."""
        left = self.engine.inspect(self.ctx, self.desired.target)
        if self.taken or left is None or left.name != self.desired.target or (left.alive and not self.unsound):
            return True
        known = self.imported_id
        if known:
            return left.id != known
        from ansible_collections.criu.hosts.plugins.module_utils._container.notes import created_since

        return not created_since(left, self.began)

    def keeps_volume(self, name: str) -> bool:
        """Returns whether a volume is not one that a failed import has left."""
        return self.taken or not self.engine.has_volume(name)

    def import_seen(self) -> None:
        """Notices that the engine has imported the container."""
        self.taken = False


def plan_restore(work: Restore) -> Plan:
    """Plans the whole restore. If the container runs already, only a boolean that was left on is switched off."""
    container = work.situation.container
    before = {"name": work.desired.target, "state": container.status if container else "absent"}
    after = {"name": work.desired.target, "state": "running"}
    if work.source == "nowhere":
        situation = work.situation
        steps = borrow((), situation.selinux, read_loan(work.ctx.paths), situation.process_label)
    else:
        # A task that finds nothing to do need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.restore_steps import all_steps

        steps = (*work.first, *all_steps(work))
    return Plan(before=before, after=after, steps=steps)


def carry_out(work: Restore) -> Plan:
    """Applies the plan and returns it. In check mode ``work.container`` stays None.

    Raises:
        CheckpointError: mount_source_missing, host_mounts_at_risk, apparmor_profile_missing, apparmor_parser_missing,
            before anything was done; what its steps raise.
    """
    if work.source != "nowhere":
        # A task that finds nothing to do need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.binds import require_binds
        from ansible_collections.criu.hosts.plugins.module_utils._container.leftovers import clear
        from ansible_collections.criu.hosts.plugins.module_utils._container.profiles import require_profiles

        require_binds(work)
        work.first = (*clear(work), *require_profiles(work))
    plan = plan_restore(work)
    applied = work.ctx.apply(plan)
    if applied is not None:
        work.statistics = work.engine.parse_statistics(applied.output("restore"))
    return plan


def bring_back(ctx: Context, engine: Engine, desired: Desired, situation: Situation, *, noted: bool = True) -> Restore:
    """Restores in place, for a caller that has read the situation already, and holds the container's lock.

    Without ``noted``, a note of the caller covers the restore.
    """
    work = Restore(ctx, engine, desired, situation, "container", noted=noted)
    carry_out(work)
    return work


def view(container: Container | None, desired: Desired, source: str) -> dict[str, Any]:
    """Returns the value of the key restore. Without a failure the container runs, or would in check mode."""
    return {
        "name": desired.target,
        "id": container.id if container else None,
        "state": "running",
        "source": None if source == "nowhere" else source,
        "archive_path": desired.archive_path,
        "image": desired.image,
        "runtime": container.runtime if container else None,
        "pid": container.pid if container and container.running else None,
    }


def proof_word(work: Restore) -> str:
    """Returns the value of label_proof: how much the comparison of labels proves."""
    situation = work.situation
    if work.container is None:
        return "not_needed"
    lsm = work.lsm
    if lsm == "none":
        return "selinux_disabled"
    if work.wrong is not None:
        return "label_changed"
    if not (situation.known(lsm) or situation.label(lsm, work.container)):
        return "label_unknown"
    return situation.selinux.mode if lsm == "selinux" else lsm
