# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans what surrounds a restore: the note of what begins, its end, and the removal of what an import has made."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.notes import begin, end, has_room
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_options import to_facts
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Remove, Step

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore


def close_steps(work: Restore) -> tuple[Remove, ...]:
    """Plans to remove the note: whatever the restore has begun is complete or undone."""
    return end(work.ctx.paths, work.desired.target) if work.noted else ()


def begin_restore(work: Restore) -> tuple[Step, ...]:
    """Plans to write down what begins, with the record that the labels have to be compared with."""
    desired, situation, engine = work.desired, work.situation, work.engine
    if not work.noted or (work.source == "container" and not has_room(work.ctx.paths)):
        return ()
    box, record = situation.container, situation.record
    in_place = work.source == "container" and box is not None
    volumes = record.volumes if record is not None and not in_place else ()
    facts = {
        "id": box.id if in_place and box is not None else work.imported_id,
        "run": box.run if in_place and box is not None else "",
        "stamp": box.stamp if in_place and box is not None else "",
        "source": work.source,
        "archive_path": "" if in_place else desired.archive_path or "",
        "image": "" if in_place else desired.image or "",
        "sha256": situation.sha256,
        "volumes": " ".join(name for name in volumes if not engine.has_volume(name)),
        "keep": desired.options.keep,
        "on_label_mismatch": desired.on_label_mismatch,
        **to_facts(desired.options),
    }
    return begin(work.ctx.paths, "restoring", desired.target, record, facts)


def removal_of_import(work: Restore, why: str) -> tuple[Step, ...]:
    """Plans to remove what an import has made: its container, and the volumes that were not there before."""
    engine, record = work.engine, work.situation.record
    name = work.imported_id or work.desired.target
    steps = [*engine.remove_steps(name, why)]
    for volume in record.volumes if record is not None else ():
        if not engine.has_volume(volume):
            left = engine.remove_volume_steps(volume, f"remove the volume {volume!r} of the import")
            keep = partial(work.keeps_volume, volume)
            steps += [replace(one, unless=keep) if isinstance(one, Command) else one for one in left]
    return tuple(steps)
