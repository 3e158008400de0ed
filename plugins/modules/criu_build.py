#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: compiles CRIU from source, and packs, installs or removes the build."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_build
short_description: Build CRIU from source, install it, and make every caller use it
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Compiles CRIU from a source tarball, verifies that the compiled file has the required features, and packs an
    artifact that other hosts of the same distribution and architecture can install.
  - Installs such an artifact below C(/opt/criu-hosts) beside the distribution's CRIU, and makes runc, crun, Podman's
    units and root's shell find it as C(criu).
extends_documentation_fragment:
  - criu.hosts._attributes
requirements:
  - "For a build, Debian: gcc make pkg-config protobuf-compiler protobuf-c-compiler libprotobuf-dev libprotobuf-c-dev
    libnl-3-dev libnet1-dev libcap-dev uuid-dev, and libselinux1-dev, libnftables-dev, libgnutls28-dev, libdrm-dev
    (V(amdgpu)) and patch (for O(patches)) as wanted."
  - "For a build, Fedora and Enterprise Linux (not tested): gcc make pkgconf-pkg-config protobuf-compiler
    protobuf-c-compiler protobuf-devel protobuf-c-devel libnl3-devel libnet-devel libcap-devel libuuid-devel, and
    libselinux-devel, nftables-devel, gnutls-devel, libdrm-devel and patch as wanted."
  - "To use an artifact: the libraries that it is linked with. The module names a missing one and its package."
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details:
      - An artifact is up to date if its manifest names the same source, features, architecture and distribution, and
        all its files have the checksums in the manifest. A damaged artifact is built again. For O(state=present), so is
        one that others than root can write or replace, since nothing but its own manifest names its source.
      - An installation is up to date if the files of the active build have the checksums in its manifest, and the links
        and dpkg's diversion lead to it. Anything else is repaired.
options:
  state:
    description:
      - V(present) installs O(artifact_path), or builds O(source) and installs the result, unless it is installed
        already.
      - V(built) only writes the artifact to O(artifact_path).
      - V(absent) removes all builds and links that V(present) made, and so brings the distribution's CRIU back. With
        O(version) it removes only that build, which must not be the active one.
    type: str
    choices: [present, built, absent]
    default: present
  source:
    description:
      - Source tarball of CRIU, a path on the target or a URL.
      - The file name in a URL must contain the version, as in C(criu-4.2.1.tar.gz) or C(v4.2.1.tar.gz).
      - Required for O(state=built). For O(state=present), give this, O(artifact_path) or O(version).
    type: str
  checksum:
    description:
      - SHA-256 of O(source). Required for a URL.
      - With it, the file need not exist if the build exists already.
    type: str
  features:
    description:
      - Features that the compiled CRIU must have.
      - V(selinux) saves and restores SELinux labels. V(nftables) locks the network with nftables instead of
        C(iptables-restore), and makes this the default. V(gnutls) encrypts the connection of the page server.
    type: list
    elements: str
    choices: [selinux, nftables, gnutls]
    default: [selinux, nftables]
  plugins:
    description:
      - Plugins of CRIU that must be compiled as well.
      - V(cuda) came with CRIU 4.0 and needs the program C(cuda-checkpoint) at run time, V(amdgpu) with CRIU 3.17.
    type: list
    elements: str
    choices: [cuda, amdgpu]
    default: []
  wanted:
    description:
      - Optional features and plugins, which are compiled only if this host meets their requirements.
      - A build without one of them stays up to date even if the host meets the requirements later. To add it then, move
        it to O(features) or O(plugins).
    type: list
    elements: str
    choices: [selinux, nftables, gnutls, cuda, amdgpu]
    default: []
  patches:
    description:
      - A distribution's archive of patches to apply to O(source), such as C(criu_3.17.1-2+deb12u2.debian.tar.xz). The
        patches in its C(debian/patches/series) are applied in that order.
      - CRIU 3.17.1 does not compile with glibc 2.36 and newer without Debian's patches.
    type: path
  version:
    description:
      - With O(state=present), the installed build to activate, a version or a name from RV(builds). A return to an
        earlier version is one task that compiles and copies nothing.
      - With O(state=absent), the installed build to remove.
    type: str
  check:
    description:
      - Whether C(criu check) must succeed on this host before a build becomes the active one.
      - V(false) is for container images and chroots, where there is no running host to check.
    type: bool
    default: true
  artifact_path:
    description:
      - With O(state=built), the artifact to write. It is required then.
      - With O(state=present) and O(source), where to keep the artifact. By default only the installed files are kept.
      - With O(state=present) alone, the artifact to install.
    type: path
  artifact_checksum:
    description:
      - SHA-256 of the artifact to install. A copy that only root can change is verified and unpacked.
      - With it, the file need not exist if this artifact is installed already.
    type: str
  jobs:
    description: The number of compilers to run in parallel. By default one for each CPU that the module may use.
    type: int
notes:
  - Compiling takes about half a minute on two CPUs. It uses C(/var/lib/criu-hosts/build), which only root can enter.
    The folder is removed again even if the build fails.
  - Before the module changes anything, it checks the machine of an artifact, the glibc that it needs, and each library.
    Then it unpacks the build, labels it for SELinux, starts it and runs its C(criu check). If any of this fails, the
    previous CRIU stays active. Otherwise C(/opt/criu-hosts/current) is switched to the new build in one rename, and
    C(/usr/local/sbin/criu) is a link through it.
  - On hosts with dpkg, C(/usr/sbin/criu) is diverted to C(/usr/sbin/criu.distrib) and is a link as well, so that an
    upgrade of the distribution's package changes nothing. On other hosts, callers find C(/usr/local/sbin) first in
    C(PATH); sudo's C(secure_path) on Enterprise Linux is an exception.
  - Earlier builds stay in C(/opt/criu-hosts). A task with O(version) activates them.
  - Only one task at a time builds or installs on a host. A second one fails at once.
  - C(/run/criu.kdat), CRIU's cache of the kernel's features, is removed with each change.
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

- name: Build an older version with its distribution's patches, and with gnutls and the GPU plugin if possible
  criu.hosts.criu_build:
    state: built
    source: /root/criu_3.17.1.orig.tar.xz
    patches: /root/criu_3.17.1-2+deb12u2.debian.tar.xz
    wanted: [gnutls, amdgpu]
    artifact_path: /root/criu-3.17.1-debian12.tar.gz

- name: Return to an earlier version
  criu.hosts.criu_build:
    version: 4.1.1

- name: Remove a version that is no longer needed
  criu.hosts.criu_build:
    state: absent
    version: 4.2.1

- name: Return to the distribution's CRIU
  criu.hosts.criu_build:
    state: absent
"""

RETURN = r"""
build:
  description:
    - The artifact (O(state=built)) or the active build; V(null) with O(state=absent).
    - Check mode returns only C(id), C(version) and C(path) of a build that is not compiled yet.
  returned: success
  type: dict
  contains:
    id:
      description: Identifies the build, by its source, features, architecture and distribution.
      type: str
      sample: dd6d1bf01a1b
    version:
      description: Version of CRIU.
      type: str
      sample: 4.2.1
    features:
      description: The known features that the binary is linked with.
      type: list
      elements: str
      sample: [selinux, nftables]
    plugins:
      description: The plugins that were compiled with it.
      type: list
      elements: str
      sample: [cuda]
    libc:
      description: The oldest glibc that can run it; empty for a build by an earlier release of the module.
      type: str
      sample: "2.38"
    patches_sha256:
      description: SHA-256 of the archive of patches; empty if there is none.
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
  description: The names of all installed builds, each the version and the id.
  returned: success
  type: list
  elements: str
  sample: [4.1.1-0b7bd7a52d9e, 4.2.1-dd6d1bf01a1b]
commands:
  description: Argument lists of the commands that change the host, in order. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[dpkg-divert, --local, --rename, --divert, /usr/sbin/criu.distrib, --add, /usr/sbin/criu]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(build_dependency_missing) if a compiler, tool or header is missing; see RV(packages).
    - V(feature_missing) if a feature cannot be built; see RV(packages).
    - V(build_failed) if the compiler failed, or its result is unusable; see RV(log_tail).
    - V(source_invalid) if O(source) is not a source tarball of CRIU.
    - V(download_failed) if O(source) cannot be downloaded.
    - V(checksum_missing) if O(source) is a URL and O(checksum) is missing.
    - V(checksum_mismatch) if a file does not have its checksum.
    - V(artifact_missing) if there is no file O(artifact_path).
    - V(artifact_invalid) if the artifact is damaged, or not made by this module.
    - V(artifact_unusable) if this host cannot run the artifact, for example for lack of a library; see RV(packages).
    - V(check_failed) if C(criu check) finds a fault of this host; see RV(log_tail).
    - V(build_unknown) if no installed build has the name or version O(version).
    - V(build_ambiguous) if several installed builds have the version O(version).
    - V(build_active) if the build to remove is the active one.
    - V(path_taken) if C(/usr/local/sbin/criu) is not a link of this module.
    - V(busy) if a different task has built or installed CRIU on this host for a minute.
    - V(unpack_failed) if an archive is damaged or unsafe.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: build_failed
log_tail:
  description: The last lines of the output of the compiler, or of C(criu check).
  returned: failure with reason build_failed, build_dependency_missing or check_failed
  type: list
  elements: str
  sample: ["make: *** [Makefile:278: criu] Error 2"]
packages:
  description: The packages to install.
  returned: failure with reason build_dependency_missing, feature_missing or artifact_unusable
  type: list
  elements: str
  sample: [libselinux1-dev]
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /root/criu-4.2.1-debian13.tar.gz
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [make, -j2]
rc:
  description: Exit status of that command.
  returned: failure of a command
  type: int
  sample: 2
stdout:
  description: Standard output of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
stderr:
  description: Standard error of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: "make: *** [Makefile:278: criu] Error 2"
cleanup_failed:
  description: Messages of the steps that failed as well when the task cleaned up.
  returned: failure of the cleanup as well
  type: list
  elements: str
  sample: []
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
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import activate, choice
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

# The unit tests replace these: they simulate a different host.
MACHINE = os.uname().machine
LIBC = host_libc()
MAX_SOURCE = 256 << 20


def fetch(url: str, checksum: str) -> bytes:
    """Downloads ``url`` and verifies its checksum."""
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
    return Wanted.from_params(params, paths=paths, machine=MACHINE, libc=LIBC, fetch=fetch)


def carry_out(ctx: Context, plan: Plan, wanted: Wanted, target: activate.Target | None = None) -> Applied | None:
    """Applies ``plan``, with clear errors if the compiler, the start of CRIU or its ``criu check`` fails."""
    try:
        return ctx.apply(plan)
    except CommandError as error:
        raise activate.explain(error.completed, target, wanted.layout, wanted.family) or error from error


def outcome(value: dict[str, Any] | None, plan: Plan, builds: Iterable[str]) -> Outcome:
    return Outcome("build", value, plan, {"builds": sorted(builds)})


def run_built(ctx: Context, wanted: Wanted, source: str, path: str) -> Outcome:
    given = choice.read_source(source, wanted.checksum)
    builds = sorted(install.read_installed(wanted.layout).trees)
    current = find_artifact(path, wanted.build_ids(given.sha256))
    if current is not None:
        state = {path: current.manifest.tree}
        return outcome(choice.describe_artifact(current, path), Plan(before=state, after=state), builds)
    job = choice.make_job(ctx.runner, wanted, given)
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
    target = activate.Target(
        tree=chosen.tree,
        archive=chosen.archive,
        divert=wanted.family == "debian",
        restorecon=read_mode(ctx.paths.selinuxfs) != "disabled",
        check=wanted.check,
        build=chosen.build,
        clean=chosen.clean,
        content=chosen.content,
    )
    plan = activate.plan_present(layout, installed, target)
    if carry_out(ctx, plan, wanted, target) is None:
        return outcome(chosen.predicted, plan, {*installed.trees, chosen.tree})
    now = install.read_installed(layout)
    return outcome(install.describe(now.active, layout.active), plan, now.trees)


def run_absent(ctx: Context, wanted: Wanted) -> Outcome:
    layout, divert = wanted.layout, wanted.family == "debian"
    installed = install.read_installed(layout)
    if wanted.version is None:
        plan = activate.plan_absent(layout, installed, divert=divert)
        ctx.apply(plan)
        return outcome(None, plan, [])
    plan = activate.plan_forget(layout, installed, installed.find_version(wanted.version), divert=divert)
    ctx.apply(plan)
    active = install.describe(installed.active, layout.active)
    return outcome(active, plan, plan.after["builds"])


def run(ctx: Context) -> Outcome:
    wanted = want(ctx.params, ctx.paths)
    with ctx.hold("criu", "installation"):
        if ctx.params["state"] == "built":
            return run_built(ctx, wanted, wanted.source or "", wanted.artifact or "")
        return run_present(ctx, wanted) if ctx.params["state"] == "present" else run_absent(ctx, wanted)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, required_if=REQUIRED_IF, mutually_exclusive=EXCLUSIVE, supports_check_mode=True)


if __name__ == "__main__":
    main()
