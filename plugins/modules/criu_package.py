#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the distribution's package of CRIU rebuilt with libselinux, installed, given back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_package
short_description: Rebuild the distribution's package of CRIU with libselinux, and install it
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Fetches the source package of CRIU that the package manager offers, adds libselinux to its build dependencies, and
    builds packages that the package manager knows, for one host or a whole fleet.
  - It is the second way beside M(criu.hosts.criu_build), which compiles any version beside the package. This one has
    the distribution's version and patches, and one CRIU on the host.
extends_documentation_fragment:
  - criu.hosts._attributes
requirements:
  - "For a build, Debian: dpkg-dev and build-essential, a C(deb-src) entry in apt's sources, the package's own build
    dependencies (C(apt-get build-dep criu)) and those of O(features), libselinux1-dev at least."
  - "For a build, Fedora and Enterprise Linux (not tested on a real host): dnf with its download command, rpm-build,
    createrepo_c, gcc, the package's own build dependencies (C(dnf builddep criu)) and libselinux-devel."
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details:
      - An archive is right when its manifest names the same source package, features, suffix, architecture and
        distribution, and its files have their checksums.
      - Packages are right when those to be installed have the archive's version.
options:
  state:
    description:
      - V(built) builds the packages and writes them to O(path), one archive.
      - V(present) installs the archive O(path), which was made on a host of the same distribution and architecture.
      - V(absent) brings the distribution's own packages back, or removes the packages if it offers none.
    type: str
    choices: [present, built, absent]
    default: present
  path:
    description:
      - The archive of packages. Required but with O(state=absent).
      - It is a tar archive with the packages, a manifest, and the index that makes its unpacked folder a local
        repository, C(Packages) for apt and C(repodata) for dnf.
    type: path
  features:
    description:
      - What the rebuilt CRIU must be linked with, each by its library among the build dependencies.
    type: list
    elements: str
    choices: [selinux, nftables, gnutls]
    default: [selinux]
  version:
    description:
      - Version of the source package, as in C(4.1.1-1). By default the one that the package manager would take.
    type: str
  suffix:
    description:
      - Ends the version of the rebuilt packages, and tells them from the distribution's. Lower-case letters, digits
        and dots.
    type: str
    default: criuhosts1
  jobs:
    description: How many compilers run at a time. By default one for each CPU that the module may use.
    type: int
notes:
  - The version of the rebuilt packages has the next epoch, as C(1:4.1.1-1+criuhosts1) for C(4.1.1-1). It is higher
    than every later one of the distribution, so that no upgrade replaces a CRIU that keeps labels with one that loses
    them. The price is that an upgrade does not bring the distribution's corrections either; build again for them.
  - C(criu) is installed, whatever of the same source is installed already, and what these want of it in the very same
    version.
  - A build of M(criu.hosts.criu_build) stays the CRIU in use if there is one; RV(package.in_use) tells.
  - Only one task at a time builds or installs on a host; a second one fails at once with the reason V(busy).
  - "Further reasons: V(build_dependency_missing) (a tool or build dependency, with the packages), V(build_failed)
    (with C(log_tail)), V(feature_missing) (the compiled CRIU lacks a feature), V(source_unavailable) (no source
    package is offered), V(suffix_invalid), V(distribution_unknown) (neither Debian's nor Fedora's relative),
    V(artifact_missing), V(artifact_invalid) (a damaged archive, or not ours) and V(artifact_unusable) (for another
    distribution or architecture)."
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

- name: Give the distribution's package back
  criu.hosts.criu_package:
    state: absent
"""

RETURN = r"""
package:
  description:
    - The archive (O(state=built)), or what is installed; V(null) if nothing of CRIU is.
    - In check mode, of packages that would first have to be built only C(id), C(version), C(source_version) and
      C(path).
  returned: success
  type: dict
  contains:
    id:
      description: What tells this archive from another, made from source package, features, suffix and system.
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
      description: Which of the known features the binary is linked with.
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
      description: Whether callers get the package's CRIU, and not a build of M(criu.hosts.criu_build).
      type: bool
      sample: true
commands:
  description: The argument lists of the commands that change the host, in order.
  returned: success
  type: list
  elements: list
  sample: [[apt-get, -q, -y, install, /var/lib/criu-hosts/packages/criu_4.1.1-1+criuhosts1_amd64.deb]]
log_tail:
  description: The last lines of the build's output.
  returned: failure, reason V(build_failed) or V(build_dependency_missing)
  type: list
  elements: str
  sample: ["dpkg-buildpackage: error: debian/rules binary subprocess returned exit status 2"]
packages:
  description: The packages to install.
  returned: failure, reason V(build_dependency_missing) or V(feature_missing)
  type: list
  elements: str
  sample: [libselinux1-dev]
"""

import os
from dataclasses import asdict
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan
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

# The unit tests have another host.
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
    if not os.path.isfile(wanted.path):
        raise CheckpointError(
            f"Cannot install CRIU from {wanted.path!r}: no such file. Copy the archive to the host.",
            reason="artifact_missing",
        )
    manifest = package.read_archive(wanted.path)
    package.check_host(wanted.path, manifest, kind=way.kind, architecture=wanted.machine, built_on=wanted.built_on)
    plan = plan_present(way, wanted, manifest, way.installed(ctx.runner))
    after = way.installed(ctx.runner) if ctx.apply(plan) else plan.after
    return Outcome("package", describe(wanted, after, {**asdict(manifest), "path": wanted.path}), plan)


def run_absent(ctx: Context, way: package.Way, wanted: Wanted) -> Outcome:
    plan = plan_absent(ctx.runner, way, wanted, way.installed(ctx.runner))
    after = way.installed(ctx.runner) if ctx.apply(plan) else plan.after
    return Outcome("package", describe(wanted, after, {}), plan)


def run(ctx: Context) -> Outcome:
    wanted = Wanted.from_params(ctx.params, root=ctx.paths.root, machine=MACHINE)
    way: package.Way = Deb() if wanted.family == "debian" else Rpm(dnf5=bool(ctx.runner.which("dnf5")))
    work = {"built": run_built, "present": run_present, "absent": run_absent}[ctx.params["state"]]
    return work(ctx, way, wanted)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, required_if=REQUIRED_IF, supports_check_mode=True)


if __name__ == "__main__":
    main()
