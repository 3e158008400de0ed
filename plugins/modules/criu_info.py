#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what a host's CRIU is and what can be checkpointed with it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_info
short_description: Tell what a host's CRIU is, what it is ready for, and what mends the rest
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Finds CRIU where a systemd unit would find it, and reads version, libraries, file capabilities and kernel features.
  - Reads from the file itself what it is linked with. A CRIU without libselinux loses the labels of what it restores,
    and no version number tells.
  - Says which OCI runtimes can checkpoint on this host, and why another one cannot.
  - For each intent RV(criu.readiness) tells whether the host is ready, why not, and the task that mends it. The
    filter P(criu.hosts.readiness_table#filter) makes a table of it.
  - A host without CRIU is no failure; RV(criu.path) is V(null) there.
extends_documentation_fragment:
  - criu.hosts._attributes.info
requirements:
  - "Debian: criu, and libcriu2 for crun."
  - "Fedora and Enterprise Linux (not tested): criu, and criu-libs for crun."
options:
  features:
    description:
      - Features to ask the kernel for beside those that RV(criu.readiness) rests on, by the names that
        C(criu check --feature) knows. V(all) alone stands for all 45 of CRIU 4.2.1.
      - Each one starts CRIU once. An empty list asks the kernel for nothing at all and needs no root; then what rests
        on the kernel is V(null) in the readiness. So it is without root.
    type: list
    elements: str
notes:
  - The features are asked for without CRIU's configuration files, so a bad file cannot falsify the answer.
  - Under an enforcing policy that has no rules for CRIU, every feature is V(null). Apply the role
    C(criu.hosts.criu_selinux) first.
  - Asking the kernel makes CRIU write its cache C(/run/criu.kdat), as each call of CRIU does.
  - Ready means that nothing is known that stands against it, for the modules of this collection, which lend SELinux
    booleans to a restore. A proof is the self-test of the role
    C(criu.hosts.checkpoint_host). For a migration both hosts are asked, and they are to have the same OCI runtime.
seealso:
  - module: criu.hosts.criu_build
  - plugin: criu.hosts.readiness_table
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at CRIU, without asking the kernel
  criu.hosts.criu_info:
    features: []
  register: found

- name: Stop when restored containers would lose their SELinux label
  ansible.builtin.assert:
    that: found.criu.selinux is true
    fail_msg: CRIU is not linked with libselinux.

- name: Ask whether incremental dumps work here, and for one more feature
  criu.hosts.criu_info:
    features: [pagemap_scan]
  register: found

- name: Stop where memory cannot be tracked
  ansible.builtin.assert:
    that: found.criu.readiness.pre_dump.ready
    fail_msg: "{{ found.criu.readiness.pre_dump.reasons | map(attribute='message') | join(' ') }}"

- name: Show what the host is ready for
  ansible.builtin.debug:
    msg: "{{ (found.criu | criu.hosts.readiness_table).split('\n') }}"
"""

RETURN = r"""
criu:
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
    check:
      description: What C(criu check) says of all that CRIU must have.
      type: dict
      contains:
        passed:
          description: Whether all of it is there; V(null) if it was not asked.
          type: bool
          sample: true
        log:
          description: CRIU's first errors when it did not pass.
          type: list
          elements: str
          sample: ["vdso: Unexpected rt vDSO area bounds"]
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
          V(off) or V(null) for one that the policy lacks), and C(lets_users), whether the loaded policy lets
          an unconfined user restore a process of his own with CRIU (V(null) if the kernel cannot be asked).
        - C(apparmor), whether AppArmor is on.
      type: dict
      sample:
        selinux:
          mode: enforcing
          policy: default
          booleans:
            unconfined_dyntrans_all: "off"
            criu_container_restore: "off"
            virt_sandbox_use_all_caps: null
          lets_users: false
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
    system:
      description: C(family), V(debian), V(redhat) or V(other), and C(name) of the distribution.
      type: dict
      sample: {"family": debian, "name": debian 13}
    kernel:
      description:
        - C(release) of the kernel, its C(version) as numbers, C(checkpoint_restore), whether it knows
          CAP_CHECKPOINT_RESTORE, and C(ptrace_scope), Yama's limit (V(null) without Yama).
      type: dict
      sample: {"release": 6.12.117+deb13-amd64, "version": [6, 12, 117], "checkpoint_restore": true, "ptrace_scope": 0}
    kdat:
      description:
        - CRIU's cache of what the kernel can do. C(path), C(present), and C(stale), what is newer than it, V(boot),
          V(build) (what criu_build made active, or Debian's package) or V(policy) (of SELinux); V(null) if nothing is.
        - CRIU only compares the time of its own compilation, which a rebuilt package may share with the old one, so it
          may believe answers that no longer hold. One of them is whether there is SELinux; believed wrongly, labels
          are lost.
      type: dict
      sample: {"path": /run/criu.kdat, "present": true, "stale": null}
    network_lock:
      description:
        - How CRIU keeps the network still during a dump. C(backend), V(nftables), V(iptables) or V(skip); C(source),
          a configuration file, V(build) (of criu_build) or V(package); C(usable), V(null) if it cannot be said.
        - C(criu --help) always names iptables, whatever was compiled in. For a CRIU of another origin, what upstream
          or the distribution's package has is assumed.
      type: dict
      sample: {"backend": nftables, "source": build, "usable": true}
    readiness:
      description:
        - The answer for each intent, which are V(container), V(multi_threaded), V(tcp_established), V(file_locks),
          V(pre_dump), V(lazy_pages), V(non_root), V(rootless), V(migration_source) and V(migration_target).
        - C(ready), V(null) if it cannot be said, and C(reasons), the gravest first.
        - A reason has C(code), a word that stays; C(level), V(blocks), V(unknown) or V(warns); C(message), why;
          C(advice), what to do; C(task), the task that does it, as a dictionary for a play, V(null) if no task can (an
          artifact's path in it is to be changed); and C(source), where it is known from, V(null) if CRIU or the host
          says it itself.
        - The codes are V(criu_missing), V(config_broken), V(linkage_unknown), V(labels_lost), V(policy_missing),
          V(selinux_permissive), V(build_damaged), V(not_asked), V(check_failed), V(kdat_stale), V(known_bad_pair),
          V(file_locks_untold), V(dirty_tracking_missing), V(userfaultfd_missing), V(clone3_missing),
          V(network_lock_missing), V(network_not_locked), V(engine_missing), V(runtime_missing), V(runtime_limited),
          V(capability_unknown_to_kernel), V(criu_too_old), V(file_capability_missing), V(ptrace_restricted),
          V(policy_without_users) and V(rootless_unsupported).
      type: dict
      sample:
        file_locks: {"ready": true, "reasons": []}
        container:
          ready: false
          reasons:
            - code: policy_missing
              level: blocks
              message: SELinux is enforcing and its policy has no rules for CRIU.
              advice: Load the policy module.
              task:
                name: Load the policy for CRIU
                ansible.builtin.include_role: {"name": criu.hosts.criu_selinux}
              source: null
commands:
  description: Always empty.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(tool_missing) if a program that was found cannot be started.
  returned: failure
  type: str
  sample: tool_missing
cmd:
  description: Argument list of the command that cannot be started.
  returned: failure
  type: list
  elements: str
  sample: [/usr/sbin/criu, --version]
"""

import ctypes
import os
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._criu import inspect as criu
from ansible_collections.criu.hosts.plugins.module_utils._criu import readiness
from ansible_collections.criu.hosts.plugins.module_utils._criu.features import FEATURE_NAMES, read_check
from ansible_collections.criu.hosts.plugins.module_utils._criu.kernel_cache import read_kdat
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import installed as install
from ansible_collections.criu.hosts.plugins.module_utils._engines.runtimes import read_runtimes
from ansible_collections.criu.hosts.plugins.module_utils._host import kernel as host
from ansible_collections.criu.hosts.plugins.module_utils._host.distribution import read_system
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy

SPEC: dict[str, Any] = {"features": {"type": "list", "elements": "str"}}

# Where the host begins; the unit tests put a scripted host below another folder.
ROOT = ""
# The label of a user's shell, by the default of every targeted policy and of Debian's.
USER_CONTEXT = "unconfined_u:unconfined_r:unconfined_t:s0"


def is_root() -> bool:
    return os.geteuid() == 0


def load_library(name: str) -> str | None:
    """Load the library as crun would; the loader's message if it cannot."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return str(error)
    return None


def wanted_features(params: dict[str, Any]) -> list[str]:
    """The features to ask for: those of the readiness first, then the task's own. None for a task that wants none."""
    asked = params["features"]
    if asked == [] or not is_root():
        return []
    more = FEATURE_NAMES if asked == ["all"] else tuple(asked or ())
    return list(dict.fromkeys((*readiness.FEATURES, *more)))


def read_criu(ctx: Context, path: str | None) -> dict[str, Any]:
    version, config_error = criu.read_version(ctx.runner, path) if path else (None, None)
    binary = criu.read_binary(path) if path else criu.Binary(None, None)
    names = wanted_features(ctx.params)
    check: dict[str, Any] = {"passed": None, "log": []}
    features: dict[str, bool | None] = {}
    if path and names:
        check, features = read_check(ctx.runner, path, names)
    return {
        "path": path,
        "version": version,
        "version_number": criu.version_number(version),
        "sha256": file_sha256(path) if path else None,
        **criu.linkage(binary.elf),
        "capabilities": binary.capabilities,
        "check": check,
        "features": features,
        "config": criu.read_config(ROOT),
        "config_error": config_error,
    }


def read_build(path: str | None, family: str) -> dict[str, Any] | None:
    """The build of criu_build that is in use."""
    layout = install.Layout(ROOT)
    if path is None or os.path.realpath(path) != os.path.realpath(layout.active):
        return None
    installed = install.read_installed(layout)
    described = install.describe(installed.active, layout.active)
    return {**described, "intact": installed.right(divert=family == "debian")} if described else None


def read_lsm() -> dict[str, Any]:
    """SELinux and AppArmor, and whether the policy lets a user in his shell restore a process of his own."""
    found = criu.read_lsm(ROOT)
    policy = LoadedPolicy(f"{ROOT}/sys/fs/selinux")
    found["selinux"]["lets_users"] = policy.lets(USER_CONTEXT, USER_CONTEXT, "process", ("execmem", "dyntransition"))
    return found


def read_around(ctx: Context, path: str | None) -> dict[str, Any]:
    """What is not CRIU itself, but decides about it."""
    podman = criu.find(ROOT, "podman")
    family, name = read_system(ROOT)
    return {
        "system": {"family": family, "name": name},
        "kernel": host.read_kernel(ROOT),
        "installed": read_build(path, family),
        "lsm": read_lsm(),
        "runtimes": read_runtimes(ROOT, ctx.runner, path, load_library),
        "podman": {
            "path": podman,
            "version": criu.parse_version(ctx.runner.run([podman, "--version"]).out) if podman else None,
        },
        "tools": {name: criu.find(ROOT, name) for name in ("nft", "tar", "zstd")},
    }


def run(ctx: Context) -> Outcome:
    found = criu.find_all(ROOT, "criu")
    path = found[0] if found else None
    value = read_criu(ctx, path)
    value.update(read_around(ctx, path), shadowed=found[1:])
    # After CRIU was asked: a cache of another build, CRIU has replaced by then, if it could tell.
    value["kdat"] = read_kdat(ROOT, value["lsm"]["selinux"]["policy"], ours=value["installed"] is not None)
    value["network_lock"] = readiness.network_lock(value, iptables=criu.find(ROOT, "iptables-restore") is not None)
    value["readiness"] = readiness.judge(value)
    return Outcome("criu", value)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
