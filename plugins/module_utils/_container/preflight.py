# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Looks before a restore for all that would keep it from succeeding, and says it at once."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore
from ansible_collections.criu.hosts.plugins.module_utils._container.runtime import require_runtime
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu, read_criu
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import require_policy
from ansible_collections.criu.hosts.plugins.module_utils._store.origin import origin_of
from ansible_collections.criu.hosts.plugins.module_utils._store.preflight import attempts, differences, together
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import kind_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import Situation
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host


@dataclass
class Look:
    """What the checks of one restore find; ``work`` is a restore that is not carried out."""

    work: Restore
    criu: Criu | None = None
    sha256: str = ""

    def find_criu(self) -> None:
        ctx, work = self.work.ctx, self.work
        self.criu = read_criu(ctx.runner, work.engine.minimum_criu, work.situation.selinux, ctx.paths)

    def check_digest(self) -> None:
        from ansible_collections.criu.hosts.plugins.module_utils._store.archive import verify

        if self.work.situation.image is not None:
            self.sha256 = self.work.situation.image.id
        if self.work.desired.archive_path is not None and self.work.situation.record is not None:
            self.sha256 = verify(self.work.desired.archive_path, self.work.situation.record)

    def check_previous(self, *, digest: bool) -> None:
        """Refuses a restore without the pre-checkpoint that it needs."""
        work, record = self.work, self.work.situation.record
        path, container = work.desired.archive_path, work.situation.container
        if work.imports and path is not None and record is not None and record.parent:
            # Few archives need one: the others need not compile this.
            from ansible_collections.criu.hosts.plugins.module_utils._store.chain import require_previous

            require_previous(path, record, digest=digest)
        if work.source == "container" and container is not None:
            _require_linked(work.engine.images_dir(container), work.what)

    def check_key(self) -> None:
        """Refuses an encrypted archive without its key."""
        desired = self.work.desired
        if not kind_of(desired.archive_path or "") and desired.decryption_key is None:
            return
        # Few archives are encrypted: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.encryption import check_decryption

        check_decryption(self.work.ctx.runner, desired.origin or "", desired.decryption_key)

    def check_trust(self) -> None:
        """Refuses an archive that the trust policy of the host does not accept."""
        work = self.work
        if not os.path.lexists(work.ctx.paths.trust_policy):
            return
        # Few hosts have a trust policy: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.trust import require_trusted

        previous = work.situation.previous(work.desired.archive_path)
        require_trusted(work.ctx, work.engine, work.desired, self.sha256, work.situation.image, previous)

    def check_processor(self) -> None:
        """Lets CRIU compare the processors, if a checkpoint in place has its cpuinfo.img."""
        container = self.work.situation.container
        if self.criu is None or self.work.source != "container" or container is None:
            return
        from ansible_collections.criu.hosts.plugins.module_utils._criu.processor import require_processor

        require_processor(self.work.ctx.runner, self.criu.path, self.work.engine.images_dir(container), self.work.what)


def _require_linked(images: str, what: str) -> None:
    """Refuses images in place that are based on others which are gone."""
    link = os.path.join(images, "parent")
    if os.path.lexists(link) and not os.path.exists(os.path.join(link, "inventory.img")):
        raise CheckpointError(
            f"Cannot {what}: its images in {images!r} lack memory that was in those of its pre-checkpoint, which are "
            "gone. Restore an older checkpoint, or start it without its state.",
            reason="parent_missing",
            path=link,
        )


def _tools(look: Look) -> Iterator[Callable[[], Any]]:
    work, situation = look.work, look.work.situation
    record, container = situation.record, situation.container
    runtime = record.runtime if record else container.runtime if container else ""
    yield look.find_criu
    yield lambda: require_policy(situation.selinux, situation.process_label)
    yield lambda: require_runtime(work.ctx, work.engine, work.desired, runtime)
    if work.source == "container" and container is not None:
        yield lambda: work.engine.require_ties(work.ctx, container)


def _things(look: Look, *, digest: bool) -> Iterator[Callable[[], Any]]:
    from ansible_collections.criu.hosts.plugins.module_utils._container.binds import require_binds
    from ansible_collections.criu.hosts.plugins.module_utils._container.ports import require_ports
    from ansible_collections.criu.hosts.plugins.module_utils._container.profiles import require_profiles

    work = look.work
    if digest:
        yield look.check_digest
    yield lambda: look.check_previous(digest=digest)
    yield look.check_processor
    if work.imports and work.situation.record is not None:
        yield look.check_key
        yield look.check_trust
        from ansible_collections.criu.hosts.plugins.module_utils._container.restore_archive import import_checks

        yield from import_checks(work)
    yield lambda: require_ports(work)
    yield lambda: require_binds(work)
    yield lambda: require_profiles(work)


def _there(look: Look) -> Host | None:
    situation, desired = look.work.situation, look.work.desired
    if look.work.source != "image" or situation.image is None or situation.record is None:
        return origin_of(situation.record, desired.archive_path)
    # Few restores are from an image: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._store.origin import host_of

    return host_of(situation.record, situation.image.host)


def _here(look: Look, there: Host) -> Host:
    from ansible_collections.criu.hosts.plugins.module_utils._criu.host_facts import host_facts
    from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host

    work = look.work
    facts = host_facts(work.ctx.paths, look.criu.text if look.criu is not None else "")
    release = work.engine.version(work.ctx) if there.engine_version else ""
    return Host(**facts, engine=work.engine.name, engine_version=release)


def blockers(look: Look, *, digest: bool = True) -> list[CheckpointError]:
    """Returns all that would keep a restore from succeeding, as far as it is known before it.

    Without ``digest``, the archive is not read.
    """
    errors = attempts(_tools(look))
    there = _there(look)
    if there is not None:
        errors += differences(there, _here(look, there), look.work.what)
    return errors + attempts(_things(look, digest=digest))


def preflight(
    ctx: Context,
    engine: Engine,
    desired: Desired,
    situation: Situation,
    source: str,
    before: Sequence[CheckpointError] = (),
) -> Situation:
    """Refuses a restore that would fail, with all reasons at once; ``before`` are those that are known already.

    Returns the situation with the digest of the archive.
    """
    look = Look(Restore(ctx, engine, desired, situation, source))
    errors = [*before, *blockers(look)]
    if errors:
        raise together(errors)
    return replace(situation, sha256=look.sha256)
