#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what a host's CRIU is and what can be checkpointed with it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_info
short_description: Tell what a host's CRIU is, and what can be checkpointed with it
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Finds CRIU where a systemd unit would find it, and reads version, libraries, file capabilities and kernel features.
  - Reads from the file itself what it is linked with. A CRIU without libselinux loses the labels of what it restores,
    and no version number tells.
  - Says which OCI runtimes can checkpoint on this host, and why another one cannot.
  - A host without CRIU is no failure; RV(criu_info.path) is V(null) there.
extends_documentation_fragment:
  - criu.hosts._attributes.info
requirements:
  - "Debian: criu, and libcriu2 for crun."
  - "Fedora and Enterprise Linux (not tested): criu, and criu-libs for crun."
options:
  features:
    description:
      - The features to ask the kernel for, by the names that C(criu check --feature) knows. All of CRIU 4.2.1's by
        default.
      - Each one starts CRIU once. An empty list asks for none, and needs no root.
    type: list
    elements: str
notes:
  - The features are asked for without CRIU's configuration files, so a bad file cannot falsify the answer.
  - Under an enforcing policy that has no rules for CRIU, every feature is V(null). Apply the role C(criu.hosts.selinux)
    first.
seealso:
  - module: criu.hosts.criu_build
"""

EXAMPLES = r"""
- name: Look at CRIU, without asking the kernel
  criu.hosts.criu_info:
    features: []
  register: found

- name: Stop when restored containers would lose their SELinux label
  ansible.builtin.assert:
    that: found.criu_info.selinux is true
    fail_msg: CRIU is not linked with libselinux.

- name: Ask whether incremental dumps work here
  criu.hosts.criu_info:
    features: [mem_dirty_track, pagemap_scan]
"""

RETURN = r"""
criu_info:
  description: What was found.
  returned: success
  type: dict
  contains:
    path:
      description: The CRIU that a unit, Podman and a root shell run; V(null) without one.
      type: str
      sample: /usr/local/sbin/criu
    version:
      description: Its version.
      type: str
      sample: 4.2.1
    version_number:
      description: The version as CRIU writes it as a number, to compare.
      type: int
      sample: 40201
    libraries:
      description: The shared libraries that the file names; V(null) for a script.
      type: list
      elements: str
      sample: [libselinux.so.1, libnftables.so.1, libc.so.6]
    selinux:
      description: Whether it is linked with libselinux.
      type: bool
      sample: true
    nftables:
      description: Whether it is linked with libnftables.
      type: bool
      sample: true
    gnutls:
      description: Whether it is linked with GnuTLS.
      type: bool
      sample: false
    capabilities:
      description: The file capabilities, C(effective), C(permitted) and C(inheritable); V(null) without any.
      type: dict
      sample: {"effective": true, "permitted": [cap_checkpoint_restore], "inheritable": []}
    features:
      description:
        - For each feature whether it is there; V(null) when CRIU cannot tell, because it does not know the name, or
          because it may not look at the kernel.
      type: dict
      sample: {"mem_dirty_track": true, "apparmor_stacking": false}
    sha256:
      description: SHA-256 of the file.
      type: str
      sample: c236ccbbefa45d6f30b609f4dbad386bf3d54d41b7437a7167edbd3faae28411
    config:
      description: The text of each configuration file in C(/etc/criu), by path.
      type: dict
      sample: {"/etc/criu/default.conf": "network-lock nftables"}
    config_error:
      description: The message with which a bad configuration file breaks every call of CRIU; V(null) normally.
      type: str
      sample: "criu: unrecognized option '--x'"
    shadowed:
      description: Other CRIU files in folders of the usual C(PATH), which are not used.
      type: list
      elements: str
      sample: [/usr/local/bin/criu]
    installed:
      description:
        - What criu_build installed, if that is the CRIU in use, as it returns it; else V(null).
        - C(intact) tells whether checksums, links and diversion are all right.
      type: dict
      sample: {"id": dd6d1bf01a1b, "version": 4.2.1, "features": [selinux, nftables], "intact": true}
    lsm:
      description:
        - C(selinux) with C(mode) (V(enforcing), V(permissive) or V(disabled)), C(policy), and C(booleans) (V(on),
          V(off) or V(null) for one that the policy lacks).
        - C(apparmor), whether AppArmor is on.
      type: dict
      sample:
        selinux:
          mode: enforcing
          policy: default
          booleans: {"unconfined_dyntrans_all": "off", "criu_container_restore": "off"}
        apparmor: false
    runtimes:
      description: C(runc) and C(crun), there or not.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the runtime.
          type: str
          sample: crun
        path:
          description: Where it is; V(null) without it.
          type: str
          sample: /usr/bin/crun
        version:
          description: Its version.
          type: str
          sample: "1.21"
        checkpoint:
          description: Whether it can checkpoint here.
          type: bool
          sample: false
        why_not:
          description: Why it cannot, or V(null).
          type: str
          sample: "libcriu.so.2 cannot be loaded: install libcriu2 (Debian) or criu-libs (Fedora)"
    podman:
      description: C(path) and C(version) of Podman, each V(null) without it.
      type: dict
      sample: {"path": /usr/bin/podman, "version": 5.4.2}
    tools:
      description: Paths of the tools that checkpoints need besides, C(nft), C(tar) and C(zstd), V(null) if missing.
      type: dict
      sample: {"nft": /usr/sbin/nft, "tar": /usr/bin/tar, "zstd": null}
commands:
  description: Always empty.
  returned: success
  type: list
  elements: list
  sample: []
"""

import ctypes
import os
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils import _criu as criu
from ansible_collections.criu.hosts.plugins.module_utils import _criu_build as build
from ansible_collections.criu.hosts.plugins.module_utils import _criu_install as install
from ansible_collections.criu.hosts.plugins.module_utils._module import Context, Outcome, execute

SPEC: dict[str, Any] = {"features": {"type": "list", "elements": "str"}}

# Where the host begins; the unit tests put a scripted host below another folder.
ROOT = ""


def load_library(name: str) -> str | None:
    """Load the library as crun would; the loader's message if it cannot."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return str(error)
    return None


def read_criu(ctx: Context, path: str | None) -> dict[str, Any]:
    names = criu.FEATURE_NAMES if ctx.params["features"] is None else ctx.params["features"]
    version, config_error = criu.read_version(ctx.runner, path) if path else (None, None)
    binary = criu.read_binary(path) if path else criu.Binary(None, None)
    return {
        "path": path,
        "version": version,
        "version_number": criu.version_number(version),
        "sha256": build.file_sha256(path) if path else None,
        **criu.linkage(binary.elf),
        "capabilities": binary.capabilities,
        "features": criu.read_features(ctx.runner, path, names) if path else {},
        "config": criu.read_config(ROOT),
        "config_error": config_error,
    }


def read_build(path: str | None) -> dict[str, Any] | None:
    """The build of criu_build that is in use."""
    layout = install.Layout(ROOT)
    if path is None or os.path.realpath(path) != os.path.realpath(layout.active):
        return None
    installed = install.read_installed(layout)
    described = install.describe(installed.active, layout.active)
    family = build.read_system(ROOT)[0]
    return {**described, "intact": installed.right(divert=family == "debian")} if described else None


def run(ctx: Context) -> Outcome:
    found = criu.find_all(ROOT, "criu")
    path = found[0] if found else None
    podman = criu.find(ROOT, "podman")
    value = read_criu(ctx, path)
    value.update(
        shadowed=found[1:],
        installed=read_build(path),
        lsm=criu.read_lsm(ROOT),
        runtimes=criu.read_runtimes(ROOT, ctx.runner, path, load_library),
        podman={
            "path": podman,
            "version": criu.parse_version(ctx.runner.run([podman, "--version"]).out) if podman else None,
        },
        tools={name: criu.find(ROOT, name) for name in ("nft", "tar", "zstd")},
    )
    return Outcome("criu_info", value)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
