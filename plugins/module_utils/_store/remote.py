# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Copies a checkpoint to the store of another host, and back, with rsync over ssh.

On the other host nothing is needed but rsync and coreutils. A copy that was cut off leaves what it has under the name
of an unfinished checkpoint; the next task goes on with it.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Completed, Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Outcome, Plan
from ansible_collections.criu.hosts.plugins.module_utils._store.copies import (
    Request,
    arrival_steps,
    demand_alone,
    different,
    find_local,
    own_texts,
    parse_received,
    prove_received,
    shown,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import (
    KINDS,
    LATEST,
    MANIFEST,
    PINNED,
    SIGNATURE,
    Stored,
    damaged,
    find_stored,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import ID, Manifest

_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}@)?(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])")
# The end of ssh itself, and not of the command on the other host.
SSH_FAILED = 255
# In the same folder as the part that it belongs to; rsync removes it when the part is whole.
PARTIAL = ".rsync-partial"
# CRIU's logs, and what a host notes about the processes that it has restored: not parts of a checkpoint.
LOGS = ".images.criu"


@dataclass(frozen=True)
class Remote:
    """The store of another host, and how ssh gets there."""

    host: str
    store: str
    ssh_options: tuple[str, ...] = ()

    @property
    def ssh(self) -> tuple[str, ...]:
        # A task has no terminal: ssh must not ask for a password.
        return ("ssh", "-o", "BatchMode=yes", *self.ssh_options)

    def run(self, *words: str) -> tuple[str, ...]:
        """Returns the argument list that runs a command there; ssh hands it to a shell, which needs it quoted."""
        return (*self.ssh, self.host.replace("[", "").replace("]", ""), shlex.join(words))

    def rsync(self, source: str, target: str) -> tuple[str, ...]:
        """Returns the argument list that copies one folder; links and special files are left out."""
        options = (
            "--recursive",
            "--times",
            "--perms",
            "--chmod=D0700,F0600",
            "--delete",
            f"--exclude=/{PINNED}",
            f"--exclude=/{LOGS}",
        )
        shell = f"--rsh={' '.join(map(quoted, self.ssh))}"
        return (
            "rsync",
            *options,
            f"--partial-dir={PARTIAL}",
            "--info=stats1",
            # Releases since 3.2.6 call it --secluded-args, and know this name as well.
            "--protect-args",
            shell,
            source,
            target,
        )

    def path(self, request: Request, identity: str) -> str:
        return Request(self.store, request.kind, request.name).path(identity)

    def partial(self, request: Request, identity: str) -> str:
        return Request(self.store, request.kind, request.name).partial(identity)


def quoted(word: str) -> str:
    """Returns a word as rsync reads it in --rsh: it splits at blanks, and knows quotes but no backslash."""
    return word if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", word) else f"'{word}'"


def check_remote(remote: Remote) -> None:
    """Refuses what ssh or rsync would take for something else.

    Raises:
        CheckpointError: option_invalid.
    """
    faults = {
        "host": None if _HOST.fullmatch(remote.host) else f"{remote.host!r} is no name of a host such as 'root@web2'",
        "host_store": None
        if remote.store.startswith("/")
        and os.path.normpath(remote.store) == remote.store
        and remote.store.isprintable()
        else f"{remote.store!r} is not the absolute path of a folder",
        "ssh_options": next((f"{one!r} has a quote" for one in remote.ssh_options if "'" in one or "\n" in one), None),
    }
    for option, why in faults.items():
        if why is not None:
            raise CheckpointError(
                f"Cannot use {option}: {why}. Give another value.", reason="option_invalid", option=option
            )


def ask(runner: Runner, remote: Remote, *words: str, stdin: str | None = None) -> Completed:
    """Runs a reading command on the other host.

    Raises:
        CheckpointError: host_unreachable.
    """
    completed = runner.run(remote.run(*words), stdin=stdin)
    if completed.rc == SSH_FAILED:
        raise unreachable(completed, remote.host)
    return completed


def unreachable(completed: Completed, host: str) -> CommandError:
    return CommandError(
        completed,
        f"Cannot reach the host {host!r} by ssh: {completed.last_line.rstrip('.')}. Check its name, and that this user "
        "may log in there without a password.",
        reason="host_unreachable",
    )


def sums_of(path: str, manifest: Manifest, texts: dict[str, str]) -> str:
    """Returns what ``sha256sum --check`` reads: the digest of each file of the checkpoint at ``path``."""
    parts = {part.name: part.sha256 for part in manifest.parts}
    # Ansible adds the last line feed; sha256sum of coreutils 8 refuses an empty line (--strict).
    return "\n".join(f"{digest}  {os.path.join(path, name)}" for name, digest in sorted({**parts, **texts}.items()))


def _sums(stored: Stored, manifest: Manifest, path: str) -> str:
    texts = {name: file_sha256(stored.part(name)) for name in own_texts(stored, manifest)}
    return sums_of(path, manifest, texts)


def _is_same(runner: Runner, remote: Remote, sums: str) -> bool:
    """Returns whether the other host has all these files, with these digests."""
    return ask(runner, remote, "sha256sum", "--check", "--status", "--strict", stdin=sums).rc == 0


def push_to_host(ctx: Context, request: Request, remote: Remote) -> Outcome:
    """Copies the checkpoint to the other host, unless that has it."""
    stored = find_stored(request.store, request.kind, request.name, request.wanted)
    manifest = stored.manifest
    if manifest is None:
        raise AssertionError("find_stored returns only whole ones")
    demand_alone(manifest, repr(stored.path))
    target, partial = remote.path(request, stored.id), remote.partial(request, stored.id)
    place = {"host": remote.host, "host_path": target}
    value = shown(request, manifest, signed=stored.signed, **place)
    if _is_same(ctx.runner, remote, _sums(stored, manifest, target)):
        return Outcome("checkpoint", value, Plan(before=place, after=place))
    if ask(ctx.runner, remote, "test", "-e", target).rc == 0:
        raise different(target, f"{remote.host!r} has one with this id, which differs")
    for part in manifest.parts:
        if file_sha256(stored.part(part.name)) != part.sha256:
            raise damaged(f"copy {stored.path!r}", f"its part {part.name!r} was changed", "Push another checkpoint.")
    above = os.path.dirname(partial)
    check_sums = remote.run("sha256sum", "--check", "--quiet", "--strict")
    steps = (
        Command(
            remote.run("mkdir", "-p", "-m", "0700", "--", remote.store, os.path.dirname(above), above, partial),
            why=f"make the folder of the checkpoint on {remote.host!r}",
        ),
        Command(
            remote.rsync(f"{stored.path}/", f"{remote.host}:{partial}/"),
            why=f"copy the checkpoint {stored.id!r} to {remote.host!r}",
        ),
        Command(check_sums, why="compare the copy with its manifest", stdin=_sums(stored, manifest, partial)),
        Command(remote.run("sync", "-f", partial), why="store the copy"),
        Command(remote.run("mv", "-T", "--", partial, target), why="give the copy its name"),
        Command(remote.run("sync", "-f", target), why="store the name"),
    )
    plan = Plan(before={}, after=place, steps=steps)
    ctx.apply(plan)
    return Outcome("checkpoint", value, plan)


def pull_from_host(ctx: Context, request: Request, remote: Remote) -> Outcome:
    """Copies the checkpoint from the other host, unless the store of this host has it."""
    identity = request.wanted if request.wanted != LATEST else _newest(ctx.runner, remote, request)
    source, partial = remote.path(request, identity), request.partial(identity)
    what = f"{remote.host}:{source}"
    answer = check(
        ask(ctx.runner, remote, "cat", "--", os.path.join(source, MANIFEST)),
        f"read the checkpoint {what!r}",
        reason="checkpoint_missing",
        advice="Check the name and host_store.",
    )
    expected = answer.out.encode("utf-8", "surrogateescape")
    manifest = parse_received(expected, request, identity, repr(what))
    demand_alone(manifest, repr(what))
    signed = ask(ctx.runner, remote, "test", "-e", os.path.join(source, SIGNATURE)).rc == 0
    after = {"path": request.path(identity)}
    value = shown(request, manifest, signed=signed, host=remote.host, host_path=source)
    local = find_local(request, identity)
    if local is not None:
        if local.fault or not _is_same(ctx.runner, remote, _sums(local, manifest, source)):
            raise different(local.path, local.fault or f"it differs from the one on {remote.host!r}")
        return Outcome("checkpoint", value, Plan(before=after, after=after))
    steps = (
        MakeDir(partial, why="make the folder of the checkpoint"),
        Command(
            remote.rsync(f"{remote.host}:{source}/", f"{partial}/"),
            why=f"copy the checkpoint {identity!r} from {remote.host!r}",
        ),
        *arrival_steps(request, identity, lambda: prove_received(partial, request, identity, expected)),
    )
    plan = Plan(before={}, after=after, steps=steps)
    ctx.apply(plan)
    return Outcome("checkpoint", value, plan)


def _newest(runner: Runner, remote: Remote, request: Request) -> str:
    folder = os.path.join(remote.store, KINDS[request.kind], request.name)
    answer = ask(runner, remote, "ls", "-1", "--", folder)
    found = parse_names(answer.out) if answer.rc == 0 else []
    if not found:
        raise CheckpointError(
            f"Cannot copy a checkpoint of {request.kind} {request.name!r}: {remote.host!r} has none in {folder!r}. "
            "Check the name and host_store.",
            reason="checkpoint_missing",
        )
    return found[0]


def parse_names(text: str) -> list[str]:
    """Returns the ids of the checkpoints among the names in a folder, the newest first."""
    return sorted((one for one in text.splitlines() if re.fullmatch(ID, one)), reverse=True)
