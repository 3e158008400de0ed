# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out what would keep process_restore from restoring images on this host, without touching anything."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu, read_criu
from ansible_collections.criu.hosts.plugins.module_utils._criu.host_facts import host_facts
from ansible_collections.criu.hosts.plugins.module_utils._criu.processor import require_processor
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._process.options import MINIMUM_CRIU, ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._process.restore import check_trust, preflight
from ansible_collections.criu.hosts.plugins.module_utils._store.entries import Checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, read_images
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host
from ansible_collections.criu.hosts.plugins.module_utils._store.origin import process_host_of
from ansible_collections.criu.hosts.plugins.module_utils._store.preflight import attempts, differences
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_images_path


def process_blockers(ctx: Context, one: Checkpoint) -> list[CheckpointError]:
    """Returns what would make a restore of these images fail: all differences of the hosts, and the first refusal."""
    try:
        check_images_path(one.path)
        images = read_images(one.path)
    except CheckpointError as error:
        return [error]
    if images is None:
        return []
    images = replace(images, parents=one.parents)
    options = ProcessOptions(one.path, None, False, False, False, (), ctx.is_root)
    errors = attempts([lambda: check_trust(ctx, images), lambda: preflight(ctx, images, options)])
    criu = _criu(ctx)
    if images.record is not None:
        here = Host(**host_facts(ctx.paths, criu.text if criu is not None else ""))
        errors += differences(process_host_of(images.record, one.host), here, f"restore {images.text}")
    if criu is not None:
        errors += _processor(ctx, criu, images)
    return errors


def _criu(ctx: Context) -> Criu | None:
    try:
        return read_criu(ctx.runner, MINIMUM_CRIU, read_selinux(ctx.paths), ctx.paths)
    except CheckpointError:
        return None  # the refusal has said it


def _processor(ctx: Context, criu: Criu, images: Images) -> list[CheckpointError]:
    return attempts([lambda: require_processor(ctx.runner, criu.path, images.path, f"restore {images.text}")])
