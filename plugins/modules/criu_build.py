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
    libnl-3-dev libnet1-dev libcap-dev uuid-dev, and libselinux1-dev, libnftables-dev, libgnutls28-dev, libdrm-dev
    (V(amdgpu)) and patch (for O(patches)) as wanted."
  - "For a build, Fedora and Enterprise Linux (not tested): gcc make pkgconf-pkg-config protobuf-compiler
    protobuf-c-compiler protobuf-devel protobuf-c-devel libnl3-devel libnet-devel libcap-devel libuuid-devel, and
    libselinux-devel, nftables-devel, gnutls-devel, libdrm-devel and patch as wanted."
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
        With O(version) it removes that build only, which must not be the active one.
    type: str
    choices: [present, built, absent]
    default: present
  source:
    description:
      - Source tarball of CRIU, a path on the target or a URL.
      - The file name in a URL must hold the version, as in C(criu-4.2.1.tar.gz) or C(v4.2.1.tar.gz).
      - O(state=built) needs it. With O(state=present), give it, O(artifact_path) or O(version).
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
  plugins:
    description:
      - The plugins of CRIU that are compiled as well and must be there.
      - V(cuda) came with CRIU 4.0 and needs the program C(cuda-checkpoint) at run time, V(amdgpu) with CRIU 3.17.
    type: list
    elements: str
    choices: [cuda, amdgpu]
    default: []
  wanted:
    description:
      - Features and plugins that are compiled if this host has what they need, and left out if not.
      - A build without one of them is still right, so that one which becomes possible later compiles nothing again;
        require it with O(features) or O(plugins) then.
    type: list
    elements: str
    choices: [selinux, nftables, gnutls, cuda, amdgpu]
    default: []
  patches:
    description:
      - A distribution's archive of patches to apply to O(source), as C(criu_3.17.1-2+deb12u2.debian.tar.xz). Those
        that its C(debian/patches/series) names are applied in that order.
      - CRIU 3.17.1 does not compile with glibc 2.36 and newer without Debian's.
    type: path
  version:
    description:
      - With O(state=present), the installed build to activate, a version or a name out of RV(builds). Going back to
        an earlier version is one task that compiles and copies nothing.
      - With O(state=absent), the installed build to remove.
    type: str
  check:
    description:
      - Whether C(criu check) must succeed on this host before a build becomes the active one.
      - V(false) is for a folder that is not a running host, such as a container image.
    type: bool
    default: true
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
  - A build is unpacked, labeled for SELinux, started and asked for its C(criu check) before it becomes the active one.
    What is known earlier is said before anything is changed, the artifact's machine, the glibc that it wants, and
    each library. Whatever fails, the CRIU that was in use stays.
    C(/opt/criu-hosts/current) is then switched to it in one rename, and C(/usr/local/sbin/criu) is a link through it.
  - On hosts with dpkg, C(/usr/sbin/criu) is diverted to C(/usr/sbin/criu.distrib) and linked as well, so that an
    upgrade of the distribution's package changes nothing. Elsewhere callers find C(/usr/local/sbin) first in their
    C(PATH); sudo's C(secure_path) on Enterprise Linux is an exception.
  - Earlier builds stay in C(/opt/criu-hosts). Going back is one task with O(version).
  - Only one task at a time builds or installs on a host; a second one fails at once with the reason V(busy).
  - C(/run/criu.kdat), what CRIU remembers of the kernel, is removed with each change.
  - "Further reasons: V(build_dependency_missing) (a compiler, tool or header), V(feature_missing) (a wanted feature,
    with the package that it needs), V(build_failed) (with C(log_tail)), V(source_invalid) (no CRIU source),
    V(download_failed), V(checksum_missing), V(checksum_mismatch), V(artifact_missing), V(artifact_invalid) (damaged,
    or not ours), V(artifact_unusable) (other architecture, older C library, missing library, does not start),
    V(check_failed) (C(criu check) finds fault with this host), V(build_unknown) (no such build is installed),
    V(build_ambiguous) (several builds of that version are), V(build_active) (a build in use is not removed) and
    V(path_taken) (C(/usr/local/sbin/criu) belongs to somebody else)."
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

- name: Build an older version, patched as its distribution does, with gnutls and the GPU plugin if they can be had
  criu.hosts.criu_build:
    state: built
    source: /root/criu_3.17.1.orig.tar.xz
    patches: /root/criu_3.17.1-2+deb12u2.debian.tar.xz
    wanted: [gnutls, amdgpu]
    artifact_path: /root/criu-3.17.1-debian12.tar.gz

- name: Go back to the version that was installed before
  criu.hosts.criu_build:
    version: 4.1.1

- name: Remove a version that is no longer needed
  criu.hosts.criu_build:
    state: absent
    version: 4.2.1

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
    plugins:
      description: The plugins that were compiled with it.
      type: list
      elements: str
      sample: [cuda]
    libc:
      description: The oldest version of glibc that can run it; empty for a build of an earlier release of the module.
      type: str
      sample: "2.38"
    patches_sha256:
      description: SHA-256 of the archive of patches, empty without one.
      type: str
      sample: ""
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
builds:
  description: The names of all builds that are installed, made of version and id.
  returned: success
  type: list
  elements: str
  sample: [4.1.1-0b7bd7a52d9e, 4.2.1-dd6d1bf01a1b]
commands:
  description: The argument lists of the commands that change the host, in order.
  returned: success
  type: list
  elements: list
  sample: [[dpkg-divert, --local, --rename, --divert, /usr/sbin/criu.distrib, --add, /usr/sbin/criu]]
log_tail:
  description: The last lines of the output of the compiler, or of C(criu check).
  returned: failure, reason V(build_failed), V(build_dependency_missing) or V(check_failed)
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
from typing import Any, Iterable, NoReturn

from ansible.module_utils.urls import open_url

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import Applied
from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import activate as switch
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import choice
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import installed as install
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.choice import Wanted
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.compatibility import host_libc
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.compile import build_steps, clean_step
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import find_artifact, read_artifact
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import read_mode

EXTRAS = ["selinux", "nftables", "gnutls", "cuda", "amdgpu"]
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
    "plugins": {"type": "list", "elements": "str", "choices": ["cuda", "amdgpu"], "default": []},
    "wanted": {"type": "list", "elements": "str", "choices": EXTRAS, "default": []},
    "patches": {"type": "path"},
    "version": {"type": "str"},
    "check": {"type": "bool", "default": True},
    "artifact_path": {"type": "path"},
    "artifact_checksum": {"type": "str"},
    "jobs": {"type": "int"},
}
REQUIRED_IF = [
    ("state", "built", ["source", "artifact_path"]),
    ("state", "present", ["source", "artifact_path", "version"], True),
]
EXCLUSIVE = [("version", "source"), ("version", "artifact_path")]

# The unit tests have another host.
MACHINE = os.uname().machine
LIBC = host_libc()
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


def want(params: dict[str, Any], paths: Paths) -> Wanted:
    return Wanted.from_params(params, root=paths.root, machine=MACHINE, libc=LIBC, fetch=fetch)


def carry_out(ctx: Context, plan: Plan, wanted: Wanted, target: switch.Target | None = None) -> Applied | None:
    """Apply ``plan``; a failing compiler and a CRIU that does not start, or finds fault, become clear errors."""
    try:
        return ctx.apply(plan)
    except CommandError as error:
        raise switch.explain(error.completed, target, wanted.layout, wanted.family) or error from error


def outcome(value: dict[str, Any] | None, plan: Plan, builds: Iterable[str]) -> Outcome:
    return Outcome("build", value, plan, {"builds": sorted(builds)})


def run_built(ctx: Context, wanted: Wanted, source: str, path: str) -> Outcome:
    sha256 = choice.read_source_sha256(source, wanted.checksum)
    builds = sorted(install.read_installed(wanted.layout).trees)
    current = find_artifact(path, wanted.build_ids(sha256))
    if current is not None:
        state = {path: current.manifest.tree}
        return outcome(choice.describe_artifact(current, path), Plan(before=state, after=state), builds)
    job = choice.make_job(ctx.runner, wanted, source, sha256)
    steps = (*build_steps(job, wanted.family), clean_step(job))
    plan = Plan(before={path: None}, after={path: job.tree}, steps=steps, lock=wanted.layout.state)
    if carry_out(ctx, plan, wanted) is None:
        return outcome({"id": job.id, "version": job.version, "path": path}, plan, builds)
    return outcome(choice.describe_artifact(read_artifact(path), path), plan, builds)


def run_present(ctx: Context, wanted: Wanted) -> Outcome:
    layout = wanted.layout
    installed = install.read_installed(layout)
    if wanted.source:
        chosen = choice.choose_source(ctx.runner, wanted, wanted.source, installed)
    elif wanted.version:
        chosen = choice.choose_version(wanted, wanted.version, installed)
    else:
        chosen = choice.choose_artifact(ctx.runner, wanted, wanted.artifact or "", installed)
    target = switch.Target(
        tree=chosen.tree,
        archive=chosen.archive,
        divert=wanted.family == "debian",
        restorecon=read_mode(ctx.paths.selinuxfs) != "disabled",
        check=wanted.check,
        build=chosen.build,
        clean=chosen.clean,
    )
    plan = switch.plan_present(layout, installed, target)
    if carry_out(ctx, plan, wanted, target) is None:
        return outcome(chosen.predicted, plan, {*installed.trees, chosen.tree})
    now = install.read_installed(layout)
    return outcome(install.describe(now.active, layout.active), plan, now.trees)


def run_absent(ctx: Context, wanted: Wanted) -> Outcome:
    layout, divert = wanted.layout, wanted.family == "debian"
    installed = install.read_installed(layout)
    if wanted.version is None:
        plan = switch.plan_absent(layout, installed, divert=divert)
        ctx.apply(plan)
        return outcome(None, plan, [])
    plan = switch.plan_forget(layout, installed, installed.find_version(wanted.version), divert=divert)
    ctx.apply(plan)
    active = install.describe(installed.active, layout.active)
    return outcome(active, plan, plan.after["builds"])


def run(ctx: Context) -> Outcome:
    wanted = want(ctx.params, ctx.paths)
    if ctx.params["state"] == "built":
        return run_built(ctx, wanted, wanted.source or "", wanted.artifact or "")
    if ctx.params["state"] == "present":
        return run_present(ctx, wanted)
    return run_absent(ctx, wanted)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, required_if=REQUIRED_IF, mutually_exclusive=EXCLUSIVE, supports_check_mode=True)


if __name__ == "__main__":
    main()
