#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: gather information about a host's CRIU and its readiness for checkpoints."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_info
short_description: >-
  Gather information about CRIU on a host, its readiness for checkpoints, and the fixes for what is missing
version_added: 0.1.0
author:
  - The criu.hosts authors (!UNKNOWN)
description:
  - Finds the CRIU that a systemd unit finds, and gathers its version, libraries, file capabilities and configuration,
    and the kernel features that it can use.
  - Reads the libraries from the file itself. A CRIU that is not linked with libselinux loses the labels of the
    processes that it restores, and its version number does not show that.
  - Reports which OCI runtimes can checkpoint on this host, and why the others cannot.
  - RV(criu.readiness) reports for each intent whether the host is ready, and RV(criu.reasons) lists why it is not, with
    the tasks that fix it. The filter P(criu.hosts.readiness_table#filter) renders both as a table.
  - A host without CRIU is not a failure; RV(criu.path) is V(null) there.
extends_documentation_fragment:
  - criu.hosts._attributes.info
requirements:
  - "Debian: criu, and libcriu2 for crun."
  - "Fedora and Enterprise Linux (not tested): criu, and criu-libs for crun."
options:
  gather:
    description:
      - The subsets to gather. The keys of the others are V(null). RV(criu.path) is always returned.
      - V(binary) stands for RV(criu.version), RV(criu.version_number), RV(criu.sha256), RV(criu.libraries),
        RV(criu.selinux), RV(criu.nftables), RV(criu.gnutls), RV(criu.capabilities), RV(criu.shadowed) and
        RV(criu.installed).
      - V(config) stands for RV(criu.config) and RV(criu.config_error).
      - V(runtimes) stands for RV(criu.runtimes), RV(criu.podman) and RV(criu.tools).
      - V(kernel) stands for RV(criu.kernel), RV(criu.lsm), RV(criu.system), RV(criu.support) and RV(criu.kdat). It is
        read from files.
      - V(features) stands for RV(criu.check) and RV(criu.features). CRIU checks each feature in a process of its own,
        which takes the most time, and it needs root.
      - V(readiness) stands for RV(criu.readiness), RV(criu.reasons) and RV(criu.network_lock). It includes V(binary),
        V(config), V(runtimes) and V(kernel). Without V(features) the answers that depend on the kernel are unknown
        (V(not_asked)).
      - V(offer) stands for RV(criu.offer), which asks the package manager if the CRIU in use is not good enough. It is
        not gathered by default, and it includes V(binary) and V(kernel).
    type: list
    elements: str
    choices: [binary, config, runtimes, kernel, features, readiness, offer]
    default: [binary, config, runtimes, kernel, features, readiness]
  features:
    description:
      - Features to check in addition to the five that RV(criu.readiness) depends on, by the names that
        C(criu check --feature) accepts. V(all) as the only entry stands for all 45 of CRIU 4.2.1.
      - O(gather) must include V(features).
    type: list
    elements: str
    default: []
notes:
  - The features are checked without CRIU's configuration files, so a bad file cannot falsify the result.
  - Without root no feature is checked, as if O(gather) had no V(features), except that RV(criu.features) is empty.
  - Under an enforcing policy that has no rules for CRIU, every feature is V(null). Apply the role
    C(criu.hosts.criu_selinux) first.
  - Checking a feature makes CRIU write its cache C(/run/criu.kdat), as each call of CRIU does.
  - C(ready) means that no blocker is known. It assumes a restore by this collection's modules, which switch the
    required SELinux boolean on for the duration of the restore. The proof is the self-test of the role
    C(criu.hosts.checkpoint_host). For a migration both hosts must be ready and have the same OCI runtime.
seealso:
  - module: criu.hosts.criu_build
  - plugin: criu.hosts.readiness_table
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Gather information about the file and the configuration of CRIU
  criu.hosts.criu_info:
    gather: [binary, config]
  register: found

- name: Stop if restored containers would lose their SELinux label
  ansible.builtin.assert:
    that: found.criu.selinux is true
    fail_msg: CRIU is not linked with libselinux.

- name: Gather everything, and check one more feature
  criu.hosts.criu_info:
    features: [pagemap_scan]
  register: found

- name: Stop where incremental dumps do not work
  ansible.builtin.assert:
    that: found.criu.readiness.pre_dump.ready
    fail_msg: >-
      {{ found.criu.reasons | selectattr('code', 'in', found.criu.readiness.pre_dump.reasons)
         | map(attribute='message') | join(' ') }}

- name: Show what the host is ready for
  ansible.builtin.debug:
    msg: "{{ (found.criu | criu.hosts.readiness_table).split('\n') }}"
"""

RETURN = r"""
criu:
  description: The information. A key is V(null) if O(gather) does not include its subset.
  returned: success
  type: dict
  contains:
    path:
      description: The CRIU that a unit, Podman and a root shell run; V(null) if there is none.
      type: str
      sample: /usr/local/sbin/criu
    version:
      description: Its version.
      type: str
      sample: 4.2.1
    version_number:
      description: The version as CRIU itself writes it as a number, for comparisons.
      type: int
      sample: 40201
    libraries:
      description: The shared libraries that the file needs; V(null) for a script.
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
      description: The file capabilities, C(effective), C(permitted) and C(inheritable); V(null) if there are none.
      type: dict
      sample: {"effective": true, "permitted": [cap_checkpoint_restore], "inheritable": []}
    check:
      description: The result of C(criu check) for the features that CRIU must have.
      type: dict
      contains:
        passed:
          description: Whether all of them are there; V(null) if the check did not run.
          type: bool
          sample: true
        log:
          description: The first errors of CRIU if it did not pass.
          type: list
          elements: str
          sample: ["vdso: Unexpected rt vDSO area bounds"]
    features:
      description:
        - Whether each feature is there; V(null) if CRIU cannot check it, because it does not know the name or has no
          access to the kernel.
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
      description: The message of CRIU if a bad configuration file breaks every call of it; otherwise V(null).
      type: str
      sample: "criu: unrecognized option '--x'"
    shadowed:
      description: Other CRIU files in the folders of the usual C(PATH), which are not used.
      type: list
      elements: str
      sample: [/usr/local/bin/criu]
    installed:
      description:
        - The build that criu_build installed, as criu_build returns it; V(null) if it is not the CRIU in use.
        - C(intact) reports whether its checksums, links and diversion are right.
      type: dict
      sample: {"id": dd6d1bf01a1b, "version": 4.2.1, "features": [selinux, nftables], "intact": true}
    lsm:
      description:
        - C(ruling), which security module confines processes, V(selinux), V(apparmor), V(none), V(both) or V(other)
          (one whose labels nothing here reads), and C(active), the names of all active ones in the kernel's order
          (V(null) if securityfs is not mounted).
        - C(selinux) with C(mode) (V(enforcing), V(permissive), or V(disabled), also where a container has SELinux
          read-only), C(policy), C(booleans) (V(on), V(off), or V(null) if the policy does not have it) and
          C(lets_users), whether the loaded policy allows an unconfined user to restore a process with CRIU (V(null) if
          the kernel cannot be asked).
        - C(apparmor) with C(enabled), C(parser), the path of apparmor_parser (V(null) if it is missing), and
          C(container_profiles), the loaded profiles with the names that Podman uses (V(null) if they cannot be read).
      type: dict
      sample:
        ruling: selinux
        active: [lockdown, capability, landlock, yama, selinux]
        selinux:
          mode: enforcing
          policy: default
          booleans:
            unconfined_dyntrans_all: "off"
            criu_container_restore: "off"
            virt_sandbox_use_all_caps: null
          lets_users: false
        apparmor: {"enabled": false, "parser": null, "container_profiles": null}
    runtimes:
      description: The OCI runtimes C(runc) and C(crun), whether installed or not.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the runtime.
          type: str
          sample: crun
        path:
          description: Its path; V(null) if it is not installed.
          type: str
          sample: /usr/bin/crun
        version:
          description: Its version.
          type: str
          sample: "1.21"
        checkpoint:
          description: Whether it can checkpoint on this host.
          type: bool
          sample: false
        why_not:
          description: Why it cannot; V(null) if it can.
          type: str
          sample: "libcriu.so.2 cannot be loaded: install libcriu2 (Debian) or criu-libs (Fedora)"
    podman:
      description:
        - C(path), C(version) and C(storage) of Podman, each V(null) if it is not installed.
        - C(storage) has the folder C(root) in which root's Podman keeps containers, as storage.conf sets it, and the
          storage C(driver).
      type: dict
      sample:
        path: /usr/bin/podman
        version: 5.4.2
        storage: {"root": /var/lib/containers/storage, "driver": overlay}
    tools:
      description: Paths of the other tools that checkpoints need, C(nft), C(tar) and C(zstd), V(null) if missing.
      type: dict
      sample: {"nft": /usr/sbin/nft, "tar": /usr/bin/tar, "zstd": null}
    system:
      description: C(family) (V(debian), V(redhat) or V(other)) and C(name) of the distribution.
      type: dict
      sample: {"family": debian, "name": debian 13}
    support:
      description:
        - Whether the collection supports this host, by its distribution, release and security module. C(level),
          V(supported), V(experimental) or V(refused) (the roles refuse it), and C(text), one sentence about it.
      type: dict
      sample:
        level: experimental
        text: "Fedora 43 is experimental: unit tests cover it, and nothing was run there."
    kernel:
      description:
        - C(release) of the kernel, its C(version) as numbers, its C(architecture), C(checkpoint_restore), whether it
          has CAP_CHECKPOINT_RESTORE, and C(ptrace_scope), Yama's limit of ptrace (V(null) without Yama).
        - C(io_uring), who may use io_uring, V(allowed), V(group) (members of a group) or V(disabled) (V(null) before
          Linux 6.6). CRIU cannot dump a process that uses it.
      type: dict
      sample:
        release: 6.12.117+deb13-amd64
        version: [6, 12, 117]
        architecture: x86_64
        checkpoint_restore: true
        ptrace_scope: 0
        io_uring: allowed
    kdat:
      description:
        - CRIU's cache of the kernel's features. C(path); C(present); C(stale), the event that is newer than the cache,
          V(boot), V(build) (a build of criu_build or Debian's package was installed) or V(policy) (the SELinux policy
          changed), or V(null).
        - CRIU itself compares only the time of its own compilation, which a rebuilt package may share with the earlier
          one, so it may trust values that no longer hold. One of them is whether there is SELinux; if that is wrong,
          labels are lost.
      type: dict
      sample: {"path": /run/criu.kdat, "present": true, "stale": null}
    network_lock:
      description:
        - How CRIU locks the network during a dump. C(backend), V(nftables), V(iptables) or V(skip); C(source), which
          sets it, a configuration file, V(build) (of criu_build) or V(package); C(usable), V(null) if unknown.
        - C(criu --help) always names iptables, regardless of what was compiled in. For a CRIU of another origin, the
          default of upstream or of the distribution's package is assumed.
      type: dict
      sample: {"backend": nftables, "source": build, "usable": true}
    offer:
      description:
        - Whether the CRIU in use is good enough for containers on the kernel and with the security module of this host,
          and if not, whether that of the distribution is. The role C(criu.hosts.criu) takes CRIU from there.
      type: dict
      contains:
        why_not:
          description: Why the CRIU in use is not good enough; V(null) if it is.
          type: str
          sample: CRIU is not installed
        package:
          description:
            - C(version) of the distribution's package, and C(why_not), why it is not good enough. V(null) if the CRIU
              in use is good enough, so that the package manager was not asked.
            - The package lists of the host are read as they are.
          type: dict
          sample: {"version": 4.1.1-1, "why_not": null}
        platform:
          description: The distribution with its release, and the machine. An artifact is valid for one of them.
          type: str
          sample: debian 13 x86_64
        built:
          description: Whether the artifact of an earlier build is on this host.
          type: bool
          sample: false
    readiness:
      description:
        - The answer for each intent. The intents are V(container), V(multi_threaded), V(tcp_established),
          V(file_locks), V(pre_dump), V(lazy_pages), V(non_root), V(rootless), V(migration_source) and
          V(migration_target).
        - C(ready), V(null) if unknown, and C(reasons), the codes of the entries of RV(criu.reasons) that concern this
          intent, most severe first.
      type: dict
      sample:
        container: {"ready": false, "reasons": [policy_missing]}
        file_locks: {"ready": false, "reasons": [policy_missing]}
        rootless: {"ready": false, "reasons": [rootless_unsupported]}
    reasons:
      description: The reasons, most severe first, each code once.
      type: list
      elements: dict
      contains:
        code:
          description:
            - A stable word. The codes are V(criu_missing), V(config_broken), V(linkage_unknown), V(labels_lost),
              V(policy_missing), V(selinux_permissive), V(build_damaged), V(not_asked), V(check_failed), V(kdat_stale),
              V(known_bad_pair), V(file_locks_untold), V(dirty_tracking_missing), V(userfaultfd_missing),
              V(clone3_missing), V(network_lock_missing), V(network_not_locked), V(podman_missing), V(runtime_missing),
              V(runtime_limited), V(capability_unknown_to_kernel), V(criu_too_old), V(file_capability_missing),
              V(ptrace_restricted), V(policy_without_users), V(rootless_unsupported), V(host_refused),
              V(host_experimental), V(architecture_untried), V(lsm_stacked), V(lsm_unknown),
              V(apparmor_parser_missing), V(apparmor_profiles_unreadable), V(apparmor_profile_missing) and
              V(storage_untried).
          type: str
          sample: policy_missing
        level:
          description:
            - V(blocks), the intent does not work; V(unknown), it is unknown whether it works; or V(warns), it works
              with limits, or it may fail.
          type: str
          sample: blocks
        only_warns:
          description: The intents for which the level is V(warns) although RV(criu.reasons[].level) is more severe.
          type: list
          elements: str
          sample: []
        message:
          description: The reason as text.
          type: str
          sample: SELinux is enforcing and its policy has no rules for CRIU.
        advice:
          description: What to do.
          type: str
          sample: Load the policy module.
        task:
          description:
            - The task that does it, as a dictionary to paste into a play; V(null) if no task can.
            - C(path_of_criu_artifact) in it is a placeholder for the path of the artifact on the controller.
          type: dict
          sample:
            name: Load the policy for CRIU
            ansible.builtin.include_role: {"name": criu.hosts.criu_selinux}
        sources:
          description: The public threads that document the reason; empty if CRIU or the host itself shows it.
          type: list
          elements: str
          sample: []
commands:
  description: Always empty.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(options_conflict) if O(features) is set and O(gather) does not include V(features).
    - V(tool_missing) if a program that was found cannot be started.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: options_conflict
cmd:
  description: Argument list of the command that cannot be started.
  returned: failure with reason tool_missing
  type: list
  elements: str
  sample: [/usr/sbin/criu, --version]
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.host_report import (
    DEFAULT,
    NEEDED_FOR_OFFER,
    NEEDED_FOR_READINESS,
    SUBSETS,
    gather,
)

SPEC: dict[str, Any] = {
    "gather": {"type": "list", "elements": "str", "choices": list(SUBSETS), "default": DEFAULT},
    "features": {"type": "list", "elements": "str", "default": []},
}


def wanted_subsets(params: dict[str, Any]) -> set[str]:
    """Returns the subsets to gather.

    Raises:
        CheckpointError: options_conflict.
    """
    wanted = set(params["gather"])
    if params["features"] and "features" not in wanted:
        raise CheckpointError(
            f"Cannot check the features {', '.join(params['features'])}: gather does not include features. Add it.",
            reason="options_conflict",
        )
    wanted |= NEEDED_FOR_READINESS if "readiness" in wanted else set()
    return wanted | NEEDED_FOR_OFFER if "offer" in wanted else wanted


def run(ctx: Context) -> Outcome:
    return Outcome("criu", gather(ctx, wanted_subsets(ctx.params), ctx.params["features"]))


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
