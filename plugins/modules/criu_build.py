#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: CRIU compiled from source, packed, installed, removed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_build
short_description: Build CRIU from source, and make every caller use the result
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Compiles CRIU from a source tarball with the features that are wanted, reads from the compiled file that they are
    really there, and packs it as an artifact that other hosts of the same distribution and architecture can install.
  - Installs such an artifact below C(/opt/criu-hosts) beside the distribution's CRIU, and leads C(criu) to it for runc,
    crun, Podman's units and root's shell.
extends_documentation_fragment:
  - criu.hosts._attributes
requirements:
  - "For a build, Debian: gcc make pkg-config protobuf-compiler protobuf-c-compiler libprotobuf-dev libprotobuf-c-dev
    libnl-3-dev libnet1-dev libcap-dev uuid-dev, and libselinux1-dev, libnftables-dev, libgnutls28-dev as wanted."
  - "For a build, Fedora and Enterprise Linux (not tested): gcc make pkgconf-pkg-config protobuf-compiler
    protobuf-c-compiler protobuf-devel protobuf-c-devel libnl3-devel libnet-devel libcap-devel libuuid-devel, and
    libselinux-devel, nftables-devel, gnutls-devel as wanted."
  - "To use an artifact: the libraries that it is linked with. A missing one is named together with its package."
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details:
      - An artifact is right when its manifest names the same source, features, architecture and distribution, and the
        checksums of all its files agree with the manifest. Damaged ones are built again.
      - What is installed is right when the active build's files have the checksums of its manifest, and the links and
        dpkg's diversion lead to it. Whatever is not right is repaired.
options:
  state:
    description:
      - V(present) installs O(artifact_path), or builds O(source) and installs the result, unless it is there already.
      - V(built) only writes the artifact to O(artifact_path).
      - V(absent) removes everything that V(present) made, in all versions. The distribution's CRIU comes back.
    type: str
    choices: [present, built, absent]
    default: present
  source:
    description:
      - Source tarball of CRIU, a path on the target or a URL.
      - The file name in a URL must hold the version, as in C(criu-4.2.1.tar.gz) or C(v4.2.1.tar.gz).
      - O(state=built) needs it. With O(state=present), give it or O(artifact_path).
    type: str
  checksum:
    description:
      - SHA-256 of O(source). Required for a URL.
      - With it, the file need not be there when the build already is.
    type: str
  features:
    description:
      - What the compiled CRIU must be able to do.
      - V(selinux) saves and restores SELinux labels. V(nftables) locks the network with nftables instead of
        C(iptables-restore), and makes that the default. V(gnutls) encrypts the page server's connection.
    type: list
    elements: str
    choices: [selinux, nftables, gnutls]
    default: [selinux, nftables]
  artifact_path:
    description:
      - With O(state=built), where the artifact is written. Required then.
      - With O(state=present) and O(source), where the artifact is kept; without it only the installed files remain.
      - With O(state=present) alone, the artifact to install.
    type: path
  artifact_checksum:
    description:
      - SHA-256 of the artifact to install.
      - With it, the file need not be there when this artifact is installed already.
    type: str
  jobs:
    description: How many compilers run at a time. By default one for each CPU that the module may use.
    type: int
notes:
  - Compiling takes about half a minute on two CPUs and happens in C(/var/lib/criu-hosts/build), which only root can
    enter; the folder is removed on every path.
  - A build is unpacked, labeled for SELinux and started once before it becomes the active one.
    C(/opt/criu-hosts/current) is then switched to it in one rename, and C(/usr/local/sbin/criu) is a link through it.
  - On hosts with dpkg, C(/usr/sbin/criu) is diverted to C(/usr/sbin/criu.distrib) and linked as well, so that an
    upgrade of the distribution's package changes nothing. Elsewhere callers find C(/usr/local/sbin) first in their
    C(PATH); sudo's C(secure_path) on Enterprise Linux is an exception.
  - Earlier builds stay in C(/opt/criu-hosts). Going back is one task with the earlier artifact, or source, and compiles
    nothing.
  - C(/run/criu.kdat), what CRIU remembers of the kernel, is removed with each change.
  - "Further reasons: V(build_dependency_missing) (a compiler, tool or header), V(feature_missing) (a wanted feature,
    with the package that it needs), V(build_failed) (with C(log_tail)), V(source_invalid) (no CRIU source),
    V(download_failed), V(checksum_missing), V(checksum_mismatch), V(artifact_missing), V(artifact_invalid) (damaged,
    or not ours), V(artifact_unusable) (other architecture, missing library, does not start) and V(path_taken)
    (C(/usr/local/sbin/criu) belongs to somebody else)."
seealso:
  - module: criu.hosts.criu_info
  - name: CRIU
    description: Project page, with the source.
    link: https://criu.org
"""

EXAMPLES = r"""
- name: Build CRIU with libselinux and nftables on a build host
  criu.hosts.criu_build:
    state: built
    source: /root/criu-4.2.1.tar.gz
    artifact_path: /root/criu-4.2.1-debian13.tar.gz
  register: built

- name: Install the artifact, which was copied to the host
  criu.hosts.criu_build:
    artifact_path: /root/criu-4.2.1-debian13.tar.gz
    artifact_checksum: "{{ built.build.artifact_sha256 }}"

- name: Build and install in one task
  criu.hosts.criu_build:
    source: https://example.com/criu-4.2.1.tar.gz
    checksum: 29ec0ee09e296479fe7048c80980e8ef1d0684d0b0204c2b101dfea19f6725b9
    features: [selinux, nftables, gnutls]

- name: Give the distribution's CRIU back
  criu.hosts.criu_build:
    state: absent
"""

RETURN = r"""
build:
  description:
    - The artifact (O(state=built)) or the active build; V(null) with O(state=absent).
    - In check mode, of a build that would first have to be compiled only C(id), C(version) and C(path).
  returned: success
  type: dict
  contains:
    id:
      description: What tells this build from another, made from source, features, architecture and distribution.
      type: str
      sample: dd6d1bf01a1b
    version:
      description: Version of CRIU.
      type: str
      sample: 4.2.1
    features:
      description: Which of the known features the binary is linked with.
      type: list
      elements: str
      sample: [selinux, nftables]
    libraries:
      description: The shared libraries that the binary is linked with.
      type: list
      elements: str
      sample: [libselinux.so.1, libnftables.so.1, libc.so.6]
    architecture:
      description: The machine that it runs on.
      type: str
      sample: x86_64
    built_on:
      description: The distribution that it was compiled on.
      type: str
      sample: debian 13
    source_sha256:
      description: SHA-256 of the source tarball.
      type: str
      sample: 29ec0ee09e296479fe7048c80980e8ef1d0684d0b0204c2b101dfea19f6725b9
    files:
      description: SHA-256 of each file.
      type: dict
      sample: {"sbin/criu": c236ccbbefa45d6f30b609f4dbad386bf3d54d41b7437a7167edbd3faae28411}
    artifact_sha256:
      description: SHA-256 of the artifact.
      type: str
      sample: a0eac2b41301e2709b61bd90d1c3c1b402789985499fb9ddf40d6e12395d7f4e
    path:
      description: The artifact (O(state=built)), or the path of the active binary.
      type: str
      sample: /opt/criu-hosts/current/sbin/criu
commands:
  description: The argument lists of the commands that change the host, in order.
  returned: success
  type: list
  elements: list
  sample: [[dpkg-divert, --local, --rename, --divert, /usr/sbin/criu.distrib, --add, /usr/sbin/criu]]
log_tail:
  description: The last lines of the compiler's output.
  returned: failure, reason V(build_failed) or V(build_dependency_missing)
  type: list
  elements: str
  sample: ["make: *** [Makefile:278: criu] Error 2"]
packages:
  description: The packages to install.
  returned: failure, reason V(build_dependency_missing), V(feature_missing) or V(artifact_unusable)
  type: list
  elements: str
  sample: [libselinux1-dev]
"""

import hashlib
import os
from typing import Any, NoReturn

from ansible.module_utils.urls import open_url

from ansible_collections.criu.hosts.plugins.module_utils import _criu_choice as choice
from ansible_collections.criu.hosts.plugins.module_utils import _criu_install as install
from ansible_collections.criu.hosts.plugins.module_utils import _criu_switch as switch
from ansible_collections.criu.hosts.plugins.module_utils._apply import Applied
from ansible_collections.criu.hosts.plugins.module_utils._command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import clean_step
from ansible_collections.criu.hosts.plugins.module_utils._criu_choice import Choice, Wanted
from ansible_collections.criu.hosts.plugins.module_utils._criu_manifest import find_artifact, read_artifact
from ansible_collections.criu.hosts.plugins.module_utils._criu_needs import explain_build
from ansible_collections.criu.hosts.plugins.module_utils._criu_usable import artifact_unusable
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
REQUIRED_IF = [
    ("state", "built", ["source", "artifact_path"]),
    ("state", "present", ["source", "artifact_path"], True),
]

# Where the host begins, and what it is; the unit tests script another one.
ROOT = ""
MACHINE = os.uname().machine
MAX_SOURCE = 256 << 20


def fetch(url: str, checksum: str) -> bytes:
    """Download ``url`` and hold it to its checksum."""
    try:
        with open_url(url, timeout=60) as response:
            data = response.read(MAX_SOURCE)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"Cannot download {url!r}: {error}. Check the URL, or copy the tarball to the host and name its path.",
            reason="download_failed",
        ) from error
    choice.check_sum(url, hashlib.sha256(data).hexdigest(), checksum)
    return bytes(data)


def want(params: dict[str, Any]) -> Wanted:
    return Wanted.from_params(params, root=ROOT, machine=MACHINE, fetch=fetch)


def carry_out(ctx: Context, plan: Plan, wanted: Wanted, chosen: Choice | None = None) -> Applied | None:
    """Apply ``plan``; a failing compiler and a CRIU that does not start become clear errors."""
    try:
        return ctx.apply(plan)
    except CommandError as error:
        done = error.completed
        if done.argv[0] == "make":
            raise explain_build(done, wanted.family) from error
        if chosen and done.argv == switch.trial_argv(wanted.layout, chosen.tree):
            why = f"it does not start ({done.last_line})"
            raise artifact_unusable(chosen.archive, why, "Build it on this distribution") from error
        raise


def run_built(ctx: Context, wanted: Wanted, source: str, path: str) -> Outcome:
    sha256 = choice.read_source_sha256(source, wanted.checksum)
    current = find_artifact(path, wanted.build_id(sha256))
    if current is not None:
        state = {path: current.manifest.tree}
        return Outcome("build", choice.describe_artifact(current, path), Plan(before=state, after=state))
    job = choice.make_job(wanted, source, sha256)
    steps = (*choice.steps_of(ctx.runner, wanted, job), clean_step(job))
    plan = Plan(before={path: None}, after={path: job.tree}, steps=steps)
    if carry_out(ctx, plan, wanted) is None:
        return Outcome("build", {"id": job.id, "version": job.version, "path": path}, plan)
    return Outcome("build", choice.describe_artifact(read_artifact(path), path), plan)


def run_present(ctx: Context, wanted: Wanted) -> Outcome:
    layout = wanted.layout
    installed = install.read_installed(layout)
    if wanted.source:
        chosen = choice.choose_source(ctx.runner, wanted, wanted.source, installed)
    else:
        chosen = choice.choose_artifact(ctx.runner, wanted, wanted.artifact or "", installed)
    target = switch.Target(
        tree=chosen.tree,
        archive=chosen.archive,
        divert=wanted.family == "debian",
        restorecon=os.path.exists(f"{ROOT}/sys/fs/selinux/enforce"),
        build=chosen.build,
        clean=chosen.clean,
    )
    plan = switch.plan_present(layout, installed, target)
    if carry_out(ctx, plan, wanted, chosen) is None:
        return Outcome("build", chosen.predicted, plan)
    return Outcome("build", install.describe(install.read_installed(layout).active, layout.active), plan)


def run(ctx: Context) -> Outcome:
    wanted = want(ctx.params)
    if ctx.params["state"] == "built":
        return run_built(ctx, wanted, wanted.source or "", wanted.artifact or "")
    if ctx.params["state"] == "present":
        return run_present(ctx, wanted)
    layout = wanted.layout
    plan = switch.plan_absent(layout, install.read_installed(layout), divert=wanted.family == "debian")
    ctx.apply(plan)
    return Outcome("build", None, plan)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, required_if=REQUIRED_IF, supports_check_mode=True)


if __name__ == "__main__":
    main()
