#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_build
short_description: Build CRIU from source, and install the result so that every caller uses it
version_added: 0.1.0
description:
  - Compiles CRIU from a source tarball with the wanted features and packs the result as an artifact.
"""
EXAMPLES = r"""
"""
RETURN = r"""
"""

import hashlib
import os
from typing import Any, NoReturn

from ansible.module_utils.urls import open_url

from ansible_collections.criu.hosts.plugins.module_utils import _criu_build as build
from ansible_collections.criu.hosts.plugins.module_utils._command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._module import Context, Outcome, execute
from ansible_collections.criu.hosts.plugins.module_utils._plan import Plan

SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "built", "absent"], "default": "present"},
    "source": {"type": "str"},
    "checksum": {"type": "str"},
    "features": {
        "type": "list",
        "elements": "str",
        "choices": ["selinux", "nftables", "gnutls"],
        "default": ["selinux", "nftables"],
    },
    "artifact_path": {"type": "path"},
    "artifact_checksum": {"type": "str"},
    "jobs": {"type": "int"},
}

# Where the host begins; the unit tests put a scripted host below another folder.
ROOT = ""
MAX_SOURCE = 256 << 20


def fetch(url: str, checksum: str) -> bytes:
    """Download ``url`` and hold it to its checksum."""
    try:
        with open_url(url, timeout=60) as response:
            data = response.read(MAX_SOURCE + 1)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"Cannot download {url!r}: {error}. Check the URL, or copy the tarball to the host and name its path.",
            reason="download_failed",
        ) from error
    check_sum(url, hashlib.sha256(data).hexdigest(), checksum)
    return bytes(data)


def check_sum(name: str, actual: str, wanted: str | None) -> None:
    if wanted and actual != wanted.lower():
        raise CheckpointError(
            f"Refuse {name!r}: its SHA-256 is {actual}, not {wanted}. Get the file again or correct the checksum.",
            reason="checksum_mismatch",
        )


def read_job(params: dict[str, Any]) -> build.Job:
    """What is to be built; hashes a local source."""
    source, checksum = params["source"], params["checksum"]
    is_url = "://" in source
    if is_url and not checksum:
        raise CheckpointError(
            f"Refuse to download {source!r} without a checksum. Give its SHA-256 as 'checksum'.",
            reason="checksum_missing",
        )
    version = build.version_of_url(source) if is_url else None
    if is_url and version is None:
        raise build.source_invalid(source, "its file name holds no version")
    if not is_url and not os.path.isfile(source):
        raise build.source_invalid(source, "no such file")
    actual = checksum.lower() if is_url else build.file_sha256(source)
    check_sum(source, actual, checksum)
    folder = f"{ROOT}/var/lib/criu-hosts/build"
    dummy_family, built_on = read_system()
    job = build.Job(
        version=version or build.version_of_tarball(source),
        source=source,
        source_sha256=actual,
        features=tuple(sorted(set(params["features"]))),
        architecture=os.uname().machine,
        built_on=built_on,
        folder=folder,
        artifact=params["artifact_path"] or "",
        jobs=params["jobs"] or len(os.sched_getaffinity(0)),
        prefix="/opt/criu-hosts/current",
        fetch=(lambda: fetch(source, checksum)) if is_url else None,
    )
    return job


def read_system() -> tuple[str, str]:
    """Family and name of the distribution."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if os.path.isfile(ROOT + path):
            with open(ROOT + path, encoding="utf-8") as handle:
                return build.parse_os_release(handle.read())
    return "other", "linux"


def has_header(name: str) -> bool:
    folders = [f"{ROOT}/usr/include", f"{ROOT}/usr/include/{os.uname().machine}-linux-gnu"]
    return any(os.path.exists(f"{folder}/{name}") for folder in folders)


def run_built(ctx: Context) -> Outcome:
    job = read_job(ctx.params)
    family = read_system()[0]
    current = build.read_artifact(job.artifact).manifest if os.path.exists(job.artifact) else None
    if current and current.id == job.id:
        return Outcome("build", build.asdict(current), Plan(before={"id": job.id}, after={"id": job.id}))
    build.check_needs(*build.missing_needs(job.features, ctx.runner.which, has_header), family)
    plan = Plan(
        before={"id": current.id if current else None},
        after={"id": job.id},
        steps=build.build_steps(job, family),
    )
    try:
        applied = ctx.apply(plan)
    except CommandError as error:
        if error.completed.argv == build.compile_argv(job):
            raise build.explain_build(error.completed, family) from error
        raise
    value = build.asdict(build.read_artifact(job.artifact).manifest) if applied else {"id": job.id}
    return Outcome("build", value, plan)


def run(ctx: Context) -> Outcome:
    return run_built(ctx)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
