# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the change of one of CRIU's configuration files. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Plan, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.config_file import ConfigFile, accepted, refusal
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.edit import Wanted, edit, normalize
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import Finding, parse, split_lines, summary

# The file holds no secrets, and CRIU must be able to read it without root.
FILE_MODE = 0o644
FOLDER_MODE = 0o755


@dataclass(frozen=True)
class Desired:
    """The file that the task asks for. ``content`` is the whole text, or None."""

    kind: str
    state: str
    wanted: Wanted
    content: Optional[str]
    block: str
    exclusive: bool
    allow: tuple[str, ...]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Desired:
        return cls(
            kind=params["kind"],
            state=params["state"],
            wanted=normalize(params["options"] or {}),
            content=params["content"],
            block=params["block"] or "",
            exclusive=params["exclusive"],
            allow=tuple(params["allow"]),
        )


def plan_file(current: ConfigFile, desired: Desired, user: int) -> tuple[Plan, Optional[str]]:
    """Returns the plan and the new text of the file; None for no file.

    Raises:
        CheckpointError: the path is not an options file that ``user`` may replace.
    """
    old = current.demand_text()
    if current.owner not in (None, user):
        raise CheckpointError(
            f"Cannot replace {current.path!r}: it belongs to the user with the id {current.owner}, and the new "
            f"file would not. Run the task as that user.",
            reason="config_owner",
            path=current.path,
        )
    text = _text(old, current.present, desired)
    steps: tuple[Step, ...] = ()
    if text is None and current.present:
        steps = (Remove(current.path, why="remove CRIU's configuration file"),)
    elif text is not None and (text != old or not current.present):
        steps = (
            MakeDir(os.path.dirname(current.path), FOLDER_MODE, why="create the folder"),
            WriteFile(
                current.path,
                text,
                FILE_MODE if current.mode is None else current.mode,
                why="write CRIU's configuration file",
            ),
        )
    before = _lines(current.path, old if current.present else None)
    return Plan(before, _lines(current.path, text), steps), text


def _text(old: str, present: bool, desired: Desired) -> Optional[str]:
    if desired.state == "absent":
        rest = edit(old, {}, block=desired.block) if desired.block else ""
        return rest if rest.strip() else None
    if desired.content is not None:
        return "".join(f"{line}\n" for line in split_lines(desired.content))
    text = edit(old, desired.wanted, block=desired.block, exclusive=desired.exclusive)
    return text if text or present else None


def _lines(path: str, text: Optional[str]) -> dict[str, Any]:
    return {"path": path, "lines": None if text is None else split_lines(text)}


def refuse_findings(path: str, findings: Sequence[Finding]) -> None:
    """Raises if one of the findings is an error."""
    problem = summary(findings)
    if problem:
        raise CheckpointError(
            f"Cannot write {path!r}. {problem}",
            reason="config_invalid",
            path=path,
            findings=[finding.view() for finding in findings],
        )


def refuse_refusal(path: str, completed: Completed) -> None:
    """Raises if CRIU has not accepted the text."""
    if not accepted(completed):
        raise CommandError(
            completed,
            f"Cannot write {path!r}: CRIU rejects it ({refusal(completed)}). Remove the option.",
            reason="config_refused",
            path=path,
        )


def view(path: str, kind: str, text: Optional[str]) -> dict[str, Any]:
    """Returns the result of the task about the file."""
    options: dict[str, list[Optional[str]]] = {}
    for line in parse(text or ""):
        if line.name:
            options.setdefault(line.name, []).append(line.value)
    return {"path": path, "kind": kind, "present": text is not None, "options": options}
