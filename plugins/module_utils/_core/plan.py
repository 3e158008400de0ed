# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Describes a module's steps and its result as plain data: one truth for changed, diff, commands and check mode."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Union

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.feed import Feed
    from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Stream


@dataclass(frozen=True)
class Command:
    """Runs ``argv``. With ``always`` it also runs when an earlier step of the plan has failed.

    ``creates_partial`` names a file that the command may leave half written; it is removed when the command has failed.
    ``label`` is the name under which ``Applied.output`` returns its output. With ``finish``, signals that stop the task
    are deferred until the command has ended, for commands that must not be interrupted. ``unless`` is called right
    before the command; if it returns true, the command is skipped. ``stdin`` is for secrets, which belong into no
    argument list: it is never returned. ``time_limit``: after so many seconds it is ended, with all that it started
    (only with ``finish``). ``explain`` turns a failure into the one that the task reports; ``undo`` steps
    run after a failure. Both wait for the always-steps of the plan. ``tolerate`` gets a failure, and the plan goes on.
    ``stream`` stores what the command writes into a pipe, or makes what it reads from one (only with ``finish``).
    """

    argv: tuple[str, ...]
    why: str
    always: bool = False
    cwd: str | None = None
    creates_partial: str | None = None
    label: str = ""
    finish: bool = False
    unless: Union[Callable[[], bool], None] = None
    stdin: str | None = field(default=None, repr=False)
    explain: Union[Callable[[CheckpointError], CheckpointError], None] = None
    undo: tuple[Any, ...] = ()
    time_limit: float | None = None
    tolerate: Union[Callable[[CheckpointError], None], None] = None
    stream: Union[Stream, Feed, None] = None


@dataclass(frozen=True)
class MakeDir:
    """Creates the folder ``path`` and its missing parents, each with ``mode``."""

    path: str
    mode: int = 0o700
    why: str = ""
    always: bool = False


@dataclass(frozen=True)
class WriteFile:
    """Writes ``content`` to a temporary name beside ``path``, fsync, rename.

    A function is called when the step runs: for content that an earlier step makes. It may raise CheckpointError.
    """

    path: str
    content: Union[str, Callable[[], Union[str, bytes]]]
    mode: int = 0o600
    why: str = ""
    always: bool = False


@dataclass(frozen=True)
class MakePipe:
    """Makes the named pipe ``path``, for its owner alone; what was there is removed."""

    path: str
    why: str = ""
    always: bool = False


@dataclass(frozen=True)
class Rename:
    """Gives ``source`` (its data fsynced first) the name ``target``, atomically, and fsync the folder.

    A folder may be renamed too: then ``mode`` is that of the files in it, which are fsynced as well.
    """

    source: str
    target: str
    mode: int | None = None
    why: str = ""
    always: bool = False


@dataclass(frozen=True)
class Link:
    """Makes ``path`` a symbolic link to ``target`` in one rename, which replaces an existing file or link."""

    path: str
    target: str
    why: str = ""
    always: bool = False


@dataclass(frozen=True)
class Remove:
    """Removes the file, link or folder tree ``path``; a missing one is no error.

    ``unless`` is called right before; if it returns true, ``path`` stays: it is no longer what the plan has seen.
    """

    path: str
    why: str = ""
    always: bool = False
    unless: Union[Callable[[], bool], None] = None


@dataclass(frozen=True)
class Unpack:
    """Unpacks the tar ``archive`` into the new folder ``path``, leaving out ``strip`` leading folders of each name.

    Names and links that lead out of ``path``, and devices, are refused. The caller owns it; modes are 0755 or 0644.
    ``outside`` are links that may lead out, each by its name below ``path`` and its exact target.
    """

    archive: str
    path: str
    strip: int = 0
    outside: tuple[tuple[str, str], ...] = ()
    why: str = ""
    always: bool = False


@dataclass(frozen=True)
class Together:
    """Carries out ``steps`` while it holds the folder ``lock`` (made when missing); it waits for other tasks.

    The first that fails ends them.
    """

    lock: str
    steps: tuple[Any, ...]
    why: str = ""
    always: bool = False


@dataclass(frozen=True)
class Check:
    """Calls ``run``, which raises CheckpointError if the plan must not go on; ``undo`` steps run after that.

    ``tolerate`` is that of Command.
    """

    run: Callable[[], object]
    why: str
    undo: tuple[Any, ...] = ()
    always: bool = False
    tolerate: Union[Callable[[CheckpointError], None], None] = None


@dataclass(frozen=True)
class Wait:
    """Calls ``until`` every ``pause`` seconds until it returns true; a failure after ``seconds``, with ``advice``.

    ``until`` may raise CheckpointError to end the wait. ``explain`` is that of Command.
    """

    until: Callable[[], bool]
    seconds: float
    why: str
    advice: str
    pause: float = 0.2
    always: bool = False
    explain: Union[Callable[[CheckpointError], CheckpointError], None] = None


@dataclass(frozen=True)
class Kill:
    """Sends ``number`` to the processes that ``pids`` returns at that moment; one that has ended is no error."""

    pids: Callable[[], Iterable[int]]
    why: str
    number: int = signal.SIGKILL
    always: bool = False


Step = Union[Command, MakeDir, WriteFile, MakePipe, Rename, Link, Remove, Unpack, Together, Check, Wait, Kill]


def _commands(steps: Iterable[Step]) -> Iterator[list[str]]:
    for step in steps:
        if isinstance(step, Command):
            yield list(step.argv)
        elif isinstance(step, Together):
            yield from _commands(step.steps)


@dataclass(frozen=True)
class Plan:
    """The difference between the actual and the desired state, and the steps that remove it.

    ``before`` and ``after`` are JSON-able and free of secrets; they become the diff.
    A plan without steps changes nothing. ``lock`` names a folder (made when missing, for its owner alone) that only one
    plan at a time may hold while its steps run.
    """

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    lock: str | None = None

    @property
    def changed(self) -> bool:
        return bool(self.steps)

    @property
    def commands(self) -> list[list[str]]:
        """The argument lists that a real run executes, in order."""
        return list(_commands(self.steps))


@dataclass(frozen=True)
class Outcome:
    """The result of a module.

    Args:
        noun: the key under which ``value`` is returned.
        value: the state as read after the work (as predicted, in check mode).
        plan: what was, or would be, done.
        facts: further documented return values.
        warnings: only what the user can act on.
    """

    noun: str
    value: Any
    plan: Plan = Plan()
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def result_of(outcome: Outcome, *, diff: bool) -> dict[str, Any]:
    """Returns the keys of the module's result."""
    result: dict[str, Any] = {
        "changed": outcome.plan.changed,
        outcome.noun: outcome.value,
        "commands": outcome.plan.commands,
    }
    result.update(outcome.facts)
    if diff:
        result["diff"] = {"before": outcome.plan.before, "after": outcome.plan.after}
    return result
