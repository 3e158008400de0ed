#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: rebuilds the distribution's package of CRIU with libselinux, and installs or replaces it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_package
short_description: Rebuild the distribution's package of CRIU with libselinux, and install it
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Fetches the source package of CRIU from the package manager, adds libselinux to its build dependencies, and builds
    packages for the package manager, for one host or a whole fleet.
  - An alternative to M(criu.hosts.criu_build), which compiles any version and installs it beside the package. With this
    module a host has one CRIU only, in the version of the distribution and with its patches.
extends_documentation_fragment:
  - criu.hosts._attributes
requirements:
  - "For a build, Debian: dpkg-dev and build-essential, a C(deb-src) entry in apt's sources, the package's own build
    dependencies (C(apt-get build-dep criu)) and those of O(features), at least libselinux1-dev."
  - "For a build, Fedora and Enterprise Linux (not tested on a real host): dnf with its download command, rpm-build,
    createrepo_c, gcc, the package's own build dependencies (C(dnf builddep criu)) and libselinux-devel."
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details:
      - An archive is up to date if its manifest names the same source package, features, suffix, architecture and
        distribution, and its files have their checksums.
      - Packages are up to date if they have the version in the archive.
options:
  state:
    description:
      - V(built) builds the packages and writes them to the archive O(path).
      - V(present) installs the archive O(path), which was made on a host of the same distribution and architecture.
      - V(absent) installs the distribution's own packages again, or removes the packages if the distribution offers
        none.
    type: str
    choices: [present, built, absent]
    default: present
  path:
    description:
      - The archive of packages. Required unless O(state=absent).
      - It is a tar archive with the packages, a manifest, and an index (C(Packages) for apt, C(repodata) for dnf), so
        that the unpacked folder is a local repository.
    type: path
  features:
    description:
      - Features of the rebuilt CRIU. The library of each one becomes a build dependency.
    type: list
    elements: str
    choices: [selinux, nftables, gnutls]
    default: [selinux]
  version:
    description:
      - Version of the source package, such as C(4.1.1-1). By default the version that the package manager prefers.
    type: str
  suffix:
    description:
      - End of the version of the rebuilt packages, which distinguishes them from the distribution's. It may contain
        lower-case letters, digits and dots.
    type: str
    default: criuhosts1
  jobs:
    description: The number of compilers to run in parallel. By default one for each CPU that the module may use.
    type: int
notes:
  - The version of the rebuilt packages has the next epoch, for example C(1:4.1.1-1+criuhosts1) for C(4.1.1-1). It is
    higher than every later version of the distribution, so that no upgrade replaces a CRIU that keeps labels with one
    that loses them. The drawback is that an upgrade does not install the distribution's fixes either. Build again to
    get them.
  - The module installs C(criu), those other packages of CRIU's source that are installed already, and the packages of
    the same source that these depend on in exactly this version.
  - A build of M(criu.hosts.criu_build) takes precedence over the package; see RV(package.in_use).
  - Only one task at a time builds or installs on a host. A second one fails at once.
seealso:
  - module: criu.hosts.criu_build
  - module: criu.hosts.criu_info
  - name: Debian's source packages
    description: How packages are built from source on Debian.
    link: https://www.debian.org/doc/manuals/debian-faq/customizing.html
"""

EXAMPLES = r"""
- name: Rebuild Debian's package with libselinux on a build host
  criu.hosts.criu_package:
    state: built
    path: /root/criu-packages.tar

- name: Install the rebuilt packages, which were copied to the host
  criu.hosts.criu_package:
    path: /root/criu-packages.tar

- name: Return to the distribution's package
  criu.hosts.criu_package:
    state: absent
"""

RETURN = r"""
package:
  description:
    - The archive (O(state=built)), or the installed packages; V(null) if no package of CRIU is installed.
    - Check mode returns only C(id), C(version), C(source_version) and C(path) of packages that are not built yet.
  returned: success
  type: dict
  contains:
    id:
      description: Identifies the archive, by its source package, features, suffix and system.
      type: str
      sample: 5b1a1d0f2c3e
    version:
      description: Version of the packages.
      type: str
      sample: 1:4.1.1-1+criuhosts1
    source_version:
      description: Version of the distribution's source package.
      type: str
      sample: 4.1.1-1
    features:
      description: The known features that the binary is linked with.
      type: list
      elements: str
      sample: [selinux, nftables, gnutls]
    architecture:
      description: The machine that the packages are for.
      type: str
      sample: x86_64
    built_on:
      description: The distribution that they were built on.
      type: str
      sample: debian 13
    files:
      description: The packages in the archive with C(package), C(version), C(sha256) and C(depends).
      type: dict
      sample: {}
    path:
      description: The archive.
      type: str
      sample: /root/criu-packages.tar
    installed:
      description: The installed packages that come from CRIU's source, with their versions.
      type: dict
      sample: {"criu": "1:4.1.1-1+criuhosts1"}
    in_use:
      description: Whether callers use the CRIU of the package instead of a build of M(criu.hosts.criu_build).
      type: bool
      sample: true
commands:
  description: Argument lists of the commands that change the host, in order. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[apt-get, -q, -y, install, /var/lib/criu-hosts/packages/criu_4.1.1-1+criuhosts1_amd64.deb]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(build_dependency_missing) if a tool or build dependency is missing; see RV(packages).
    - V(feature_missing) if the compiled CRIU lacks a feature; see RV(packages).
    - V(build_failed) if the build failed, or its result is unusable; see RV(log_tail).
    - V(source_unavailable) if the package manager offers no source package.
    - V(suffix_invalid) if O(suffix) has other characters than allowed.
    - V(distribution_unknown) if the distribution belongs neither to the Debian nor to the Red Hat family.
    - V(artifact_missing) if there is no file O(path).
    - V(artifact_invalid) if the archive is damaged, or not made by this module.
    - V(artifact_unusable) if the archive is for a different distribution or architecture.
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
  description: The last lines of the output of the build.
  returned: failure with reason build_failed or build_dependency_missing
  type: list
  elements: str
  sample: ["dpkg-buildpackage: error: debian/rules binary subprocess returned exit status 2"]
packages:
  description: The packages to install.
  returned: failure with reason build_dependency_missing or feature_missing
  type: list
  elements: str
  sample: [libselinux1-dev]
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /root/criu-packages.tar
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [dpkg-buildpackage, -b]
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
  sample: ""
cleanup_failed:
  description: Messages of the steps that failed as well when the task cleaned up.
  returned: failure of the cleanup as well
  type: list
  elements: str
  sample: []
"""

import os
from dataclasses import asdict
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import package_archive as package
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.package_debian import Deb
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.package_plan import (
    Wanted,
    describe,
    explain,
    make_job,
    plan_absent,
    plan_built,
    plan_present,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.package_redhat import Rpm

SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "built", "absent"], "default": "present"},
    "path": {"type": "path"},
    "features": {
        "type": "list",
        "elements": "str",
        "choices": ["selinux", "nftables", "gnutls"],
        "default": ["selinux"],
    },
    "version": {"type": "str"},
    "suffix": {"type": "str", "default": "criuhosts1"},
    "jobs": {"type": "int"},
}
REQUIRED_IF = [("state", "built", ["path"]), ("state", "present", ["path"])]

# The unit tests replace this: they simulate a different host.
MACHINE = os.uname().machine


def run_built(ctx: Context, way: package.Way, wanted: Wanted) -> Outcome:
    job = make_job(ctx.runner, way, wanted)
    current = package.find_archive(wanted.path, job.id)
    if current is not None:
        state = {wanted.path: current.version}
        return Outcome("package", {**asdict(current), "path": wanted.path}, Plan(before=state, after=state))
    plan = plan_built(way, wanted, job)
    try:
        applied = ctx.apply(plan)
    except CommandError as error:
        raise explain(error.completed, way) or error from error
    value = {"id": job.id, "version": job.version, "source_version": job.source.version, "path": wanted.path}
    return Outcome("package", {**asdict(package.read_archive(wanted.path)), **value} if applied else value, plan)


def run_present(ctx: Context, way: package.Way, wanted: Wanted) -> Outcome:
    content = package.read_content(wanted.path)
    if content is None:
        raise CheckpointError(
            f"Cannot install CRIU from {wanted.path!r}: no such file. Copy the archive to the host.",
            reason="artifact_missing",
        )
    manifest = package.parse_archive(wanted.path, content)
    package.check_host(wanted.path, manifest, kind=way.kind, architecture=wanted.machine, built_on=wanted.built_on)
    plan = plan_present(way, wanted, manifest, content, way.installed(ctx.runner))
    after = way.installed(ctx.runner) if ctx.apply(plan) else plan.after
    return Outcome("package", describe(wanted, after, {**asdict(manifest), "path": wanted.path}), plan)


def run_absent(ctx: Context, way: package.Way, wanted: Wanted) -> Outcome:
    plan = plan_absent(ctx.runner, way, wanted, way.installed(ctx.runner))
    after = way.installed(ctx.runner) if ctx.apply(plan) else plan.after
    return Outcome("package", describe(wanted, after, {}), plan)


def run(ctx: Context) -> Outcome:
    wanted = Wanted.from_params(ctx.params, paths=ctx.paths, machine=MACHINE)
    way: package.Way = Deb() if wanted.family == "debian" else Rpm(dnf5=bool(ctx.runner.which("dnf5")))
    work = {"built": run_built, "present": run_present, "absent": run_absent}[ctx.params["state"]]
    with ctx.hold("criu", "installation"):
        return work(ctx, way, wanted)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, required_if=REQUIRED_IF, supports_check_mode=True)


if __name__ == "__main__":
    main()
