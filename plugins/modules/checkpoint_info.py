#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists checkpoints and describes what they hold."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_info
short_description: List checkpoints, show what they hold, and say what keeps them from being restored
version_added: 0.1.0
description:
  - Lists the checkpoints in a store, or the archives and folders of images in a folder, or inspects one.
  - It reads archives of M(criu.hosts.container_checkpoint) and those that C(podman container checkpoint --export) alone
    made, and images of M(criu.hosts.process_checkpoint) and those that C(criu dump) alone made.
  - It returns what C(checkpointctl) shows, in its words, and also the labels of the threads, TCP connections, file
    locks, threads, and memory by kind.
  - An archive is read once from beginning to end, within limits, and never unpacked. Its memory is skipped, but for
    the pages with the command lines and the environments.
  - Of an environment only the names of the variables are returned, never a value.
  - Names and command lines were chosen by the processes. What could control a terminal is returned escaped, such as
    C(\x1b), and texts longer than 4096 characters are cut.
options:
  path:
    description:
      - An archive, a folder of CRIU's images, or a folder with such. An archive that is a symbolic link is not read.
      - Of a folder, these are listed, but no hidden ones. Files whose names end in C(.tar), C(.tar.gz), C(.tar.zst),
        C(.tar.xz), C(.tar.bz2) or C(.tgz), also with C(.age) or C(.gpg), files with a record beside them, and folders
        with an C(inventory.img) in them.
      - Either this or O(store) is needed.
    type: path
  store:
    description:
      - A store of checkpoints, in which M(criu.hosts.container_checkpoint) and M(criu.hosts.process_checkpoint) have
        made them. The newest is first.
      - Only the manifests are read, unless O(detail) or O(verify) asks for more.
    type: path
  name:
    description: List only the checkpoints of the container or process with this name in O(store).
    type: str
  kind:
    description: List only the checkpoints of containers, or of processes, in O(store).
    type: str
    choices: [container, process]
  detail:
    description:
      - What to return beside the summary. A key that is not asked for is V(null).
      - V(processes) are the processes with their command lines, threads and labels, V(environment) the same with the
        names of the variables. V(files) includes the file locks.
      - The default is V([processes, statistics]) for a O(path). Of a O(store), contents are read only if this is set.
    type: list
    elements: str
    choices: [environment, files, memory, mounts, processes, sockets, statistics]
  verify:
    description:
      - Whether to compute the SHA-256 of each archive, and to compare it with the one in its record. For this all of
        it is read a second time. Of a checkpoint in a O(store), the SHA-256 of each part is compared with the manifest,
        also of those that it is built on.
      - A difference is returned as RV(checkpoints[].verified=false), and is no failure.
    type: bool
    default: false
  restorable:
    description:
      - Whether to find out what would make a restore on this host fail, and return all of it as
        RV(checkpoints[].reasons). Nothing is restored or changed.
      - For an archive this is what M(criu.hosts.container_restore) checks beforehand, with the name that the container
        had, but for the digest of the archive, which O(verify) compares. For images it is each difference of the hosts,
        and the first refusal of M(criu.hosts.process_restore).
      - It takes some commands for each checkpoint, and needs root for containers.
    type: bool
    default: false
requirements:
  - libzstd, for archives with this compression only
  - podman and CRIU, for O(restorable) only
notes:
  - Needs no root, but a user who may read the checkpoints.
  - Of an encrypted archive, only what its record or manifest has is returned.
  - Command lines and environments are read if the images are in the usual order, with pages of 4 KiB; otherwise they
    are V(null).
  - Of a process that wrote its own title, there are no names of variables.
extends_documentation_fragment:
  - criu.hosts._attributes.info
seealso:
  - module: criu.hosts.container_checkpoint
  - module: criu.hosts.process_checkpoint
  - plugin: criu.hosts.checkpoint_table
    plugin_type: filter
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: List the checkpoints in a folder, and compare them with their digests
  criu.hosts.checkpoint_info:
    path: /var/lib/checkpoints
    verify: true
  register: listed

- name: Show them as a table
  ansible.builtin.debug:
    msg: "{{ (listed.checkpoints | criu.hosts.checkpoint_table).split('\n') }}"

- name: Check that none is damaged or was changed
  ansible.builtin.assert:
    that:
      - listed.checkpoints | selectattr('reason') | length == 0
      - listed.checkpoints | selectattr('verified', 'sameas', false) | length == 0

- name: List the checkpoints of one container in a store, and find those that can be restored here
  criu.hosts.checkpoint_info:
    store: /var/lib/criu-hosts/store
    kind: container
    name: web
    restorable: true
  register: stored

- name: Say what is in the way of the newest
  ansible.builtin.debug:
    msg: "{{ stored.checkpoints[0].reasons | map(attribute='remedy') }}"
  when: stored.checkpoints | length > 0 and not stored.checkpoints[0].restorable

- name: Inspect the connections in one archive
  criu.hosts.checkpoint_info:
    path: /var/lib/checkpoints/web.tar.zst
    detail: [sockets, files]
  register: web
"""

RETURN = r"""
checkpoints:
  description: The checkpoints, sorted by name, or those of a store with the newest first; empty if there are none.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The archive, or the folder of images; of a damaged checkpoint in a store, its folder.
      type: str
      sample: /var/lib/checkpoints/web.tar.zst
    kind:
      description: V(container) or V(process).
      type: str
      sample: container
    checkpoint:
      description: The id of the checkpoint in its store; V(null) without O(store).
      type: str
      sample: 20261130T164500Z-1a2b3c4d
    name:
      description: The name of the container or process in the store; V(null) without O(store).
      type: str
      sample: web
    made_at:
      description: When the checkpoint was made, in UTC; V(null) if neither a manifest nor a record says it.
      type: str
      sample: "2026-11-30T16:45:00Z"
    size_bytes:
      description: Size of the archive, of the images, or of all parts in the store.
      type: int
      sample: 4128768
    reason:
      description:
        - Why a checkpoint in a folder or store cannot be read, as RV(reason), or V(checkpoint_damaged) if its manifest
          or a part is missing, is not what the manifest says, or may be written by others. V(null) if it can be read.
          If not, what could not be found out is V(null).
      type: str
      sample: null
    message:
      description: The same as a sentence.
      type: str
      sample: null
    record:
      description:
        - What the record of the checkpoint says; V(null) if there is none, or it cannot be used. That of a process has
          other keys, such as C(pid), C(comm), C(exe) and C(unit).
      type: dict
      sample:
        checkpointed_at: "2026-11-22T21:38:08Z"
        criu: 4.2.1
        options: {tcp_established: true}
        selinux: enforcing
        process_label: "system_u:system_r:container_t:s0:c1,c2"
        apparmor_profile: ""
        ran_on: false
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    record_fault:
      description:
        - Why the record cannot be used, such as another size of the archive, or that others may write to it.
      type: str
      sample: null
    sha256:
      description: Digest of an archive with O(verify=true); V(null) in a store.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    verified:
      description:
        - Whether the digest is the one in the record, or those of all parts are the ones in the manifest; V(null)
          without O(verify), or without a record or manifest.
      type: bool
      sample: true
    damaged_parts:
      description:
        - The parts in the store with other digests; V(null) without O(verify).
        - A part of a checkpoint that this one is built on has the id of that one in front, such as
          V(20261130T164500Z-1a2b3c4d/images/pages-1.img).
      type: list
      elements: str
      sample: []
    signed:
      description: Whether a signature of the manifest is in the store, which this module does not verify.
      type: bool
      sample: true
    pinned:
      description: Whether the checkpoint in the store is pinned, so that it is not pruned.
      type: bool
      sample: false
    encrypted:
      description: Whether the archive is encrypted, by its name.
      type: bool
      sample: false
    why:
      description: The text that the task gave for the checkpoint in the store.
      type: str
      sample: before the upgrade
    who:
      description: The user who made the checkpoint in the store.
      type: str
      sample: root
    pre_checkpoint:
      description:
        - Whether it is a pre-checkpoint of a container, which holds memory only
          (O(criu.hosts.container_checkpoint#module:pre_checkpoint)); V(null) if it has no record.
      type: bool
      sample: false
    parent:
      description:
        - The checkpoint that this one needs for a restore, its ID in the store, or the name of its archive in the same
          folder; V(null) if it is whole alone.
      type: str
      sample: null
    host:
      description: The host on which the checkpoint in the store was made. An unknown value is empty or 0.
      type: dict
      sample:
        hostname: web1
        architecture: x86_64
        kernel: 6.12.57+deb13-amd64
        criu: 4.2.1
        engine: podman
        engine_version: 5.4.2
        runtime: crun
        runtime_version: "1.21"
        cgroup_version: 2
        network_lock: nftables
        lsm: selinux
        lsm_mode: enforcing
        image_digest: "sha256:25b6c0b9a81c1f5a1f0f4f1a0f3f0c8e1a5f6b7c8d9e0f1a2b3c4d5e6f708192"
        glibc: "2.41"
    restorable:
      description: Whether nothing was found that would make a restore on this host fail; V(null) without O(restorable).
      type: bool
      sample: false
    reasons:
      description: All that would make a restore on this host fail; V(null) without O(restorable).
      type: list
      elements: dict
      contains:
        reason:
          description:
            - As RV(criu.hosts.container_restore#module:reason), RV(criu.hosts.process_restore#module:reason), or
              RV(checkpoints[].reason).
          type: str
          sample: image_missing
        message:
          description: Why the restore would fail.
          type: str
          sample: "Cannot restore '/ckpt/web.tar.zst': its image 'localhost/web' (25b6c0b9a81c) is not on this host."
        remedy:
          description: What to do about it.
          type: str
          sample: >-
            Pull or load that very image first; on a host that has it, 'podman save localhost/web | ssh HOST podman
            load' brings it here.
    container:
      description: Name of the container; this and the next ones are V(null) for a process.
      type: str
      sample: web
    id:
      description: Id of the container.
      type: str
      sample: 91f04b5701638eb4362448c14748787880a8911fc8d78418cf9409c87ec9520d
    image:
      description: Name of its image.
      type: str
      sample: localhost/web:latest
    runtime:
      description: OCI runtime.
      type: str
      sample: crun
    created:
      description: When the container was created.
      type: str
      sample: "2026-11-22T21:30:00Z"
    checkpointed:
      description: When it was checkpointed, if the engine wrote this.
      type: str
      sample: null
    engine:
      description: V(Podman), V(CRI-O) or V(containerd).
      type: str
      sample: Podman
    ip:
      description: IP addresses of the container, separated by commas.
      type: str
      sample: 10.88.0.9
    mac:
      description: MAC addresses of the container, separated by commas.
      type: str
      sample: "f2:99:8d:fb:5a:57"
    checkpoint_size:
      description:
        - Sizes in bytes. C(total_size) of the images, C(memory_pages_size) and C(amd_gpu_memory_pages_size) of the
          memory in them, and C(root_fs_diff_size) of the changed files.
      type: dict
      sample:
        total_size: 4128768
        memory_pages_size: 4096000
        amd_gpu_memory_pages_size: 0
        root_fs_diff_size: 10240
    lsm:
      description: LSM of the labels in the images, V(selinux), V(apparmor) or V(none).
      type: str
      sample: selinux
    labels:
      description: The labels of all threads, each once.
      type: list
      elements: str
      sample: ["system_u:system_r:container_t:s0:c1,c2"]
    process_count:
      description: Number of processes.
      type: int
      sample: 2
    thread_count:
      description: Number of threads.
      type: int
      sample: 5
    lock_count:
      description: Number of file locks.
      type: int
      sample: 1
    processes:
      description:
        - The processes, each after its parent, with its C(depth) in the tree. The ids are those inside of the
          container.
        - C(task_state) is V(Alive), V(Dead), V(Stopped) or V(Zombie). C(environment_variables) are names only, and
          V(null) without V(environment) in O(detail). A value that the images do not have is V(null).
      type: list
      elements: dict
      sample:
        - pid: 1
          parent: 0
          depth: 0
          command: nginx
          cmdline: nginx -g daemon off;
          task_state: Alive
          threads:
            - {tid: 1, command: nginx, label: "system_u:system_r:container_t:s0:c1,c2"}
          environment_variables: null
    open_files:
      description: The open files, with the working folder (C(cwd)) and the root folder (C(root)) of each process.
      type: list
      elements: dict
      sample:
        - {pid: 1, fd: "3", type: REG, path: /var/log/web.log}
    locks:
      description: The file locks. C(length) is 0 if it reaches to the end of the file.
      type: list
      elements: dict
      sample:
        - {pid: 1, fd: 3, kind: POSIX, mode: write, path: /var/lib/web.lock, start: 0, length: 0}
    sockets:
      description: The sockets. Sizes of buffers are in bytes.
      type: list
      elements: dict
      sample:
        - pid: 1
          fd: 4
          kind: INETSK
          protocol: TCP
          type: STREAM
          state: LISTEN
          address: ""
          src: 0.0.0.0
          src_port: 80
          dst: 0.0.0.0
          dst_port: 0
          send_buf: 16384
          recv_buf: 131072
    tcp_connections:
      description: Those of RV(checkpoints[].sockets) that are TCP connections.
      type: list
      elements: dict
      sample: []
    memory:
      description:
        - The memory of each process by kind, V(stack), V(heap), V(anonymous), V(file_private), V(file_shared),
          V(shared), V(kernel) (such as the vdso) or V(other). C(virtual_size) is that of the mappings, C(saved_size) of
          the pages in the archive, in bytes.
        - The pages that processes share are in one entry with the pid V(null).
      type: list
      elements: dict
      sample:
        - {pid: 1, kind: heap, virtual_size: 135168, saved_size: 12288}
    mounts:
      description: The mounts in the description of the container.
      type: list
      elements: dict
      sample:
        - {destination: /proc, type: proc, source: proc}
    statistics:
      description: Statistics of CRIU's dump. Times are in microseconds, pages have 4 KiB on most machines.
      type: dict
      sample:
        freezing_time: 312
        frozen_time: 152340
        memdump_time: 21004
        memwrite_time: 14127
        pages_scanned: 4128
        pages_skipped: 0
        pages_written: 1000
commands:
  description: Always empty, because the module only reads.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(archive_missing) if there is nothing at O(path).
    - V(archive_invalid) if the archive is a link or no regular file, is damaged, is none of a container, or holds more
      than the module reads; and likewise for images.
    - V(archive_unreadable) if the user may not read it, or the host lacks libzstd.
    - V(store_missing) if there is no folder at O(store).
    - V(store_unreadable) if the user may not read a folder of O(store).
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: archive_invalid
path:
  description: The archive or folder that could not be read.
  returned: failure that concerns a file or folder
  type: str
  sample: /var/lib/checkpoints/web.tar.zst
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.contents import read_contents
from ansible_collections.criu.hosts.plugins.module_utils._store.entries import Checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._store.listing import list_checkpoints

DETAILS = ["environment", "files", "memory", "mounts", "processes", "sockets", "statistics"]
SPEC: dict[str, Any] = {
    "path": {"type": "path"},
    "store": {"type": "path"},
    "name": {"type": "str"},
    "kind": {"type": "str", "choices": ["container", "process"]},
    "detail": {"type": "list", "elements": "str", "choices": DETAILS},
    "verify": {"type": "bool", "default": False},
    "restorable": {"type": "bool", "default": False},
}


def found_in(ctx: Context) -> list[Checkpoint]:
    """Returns the checkpoints at the path, or in the store."""
    params, detail, verify = ctx.params, ctx.params["detail"], ctx.params["verify"]
    if params["store"] is None:
        wanted = ["processes", "statistics"] if detail is None else detail
        return list_checkpoints(params["path"], read_contents, wanted, verify=verify)
    from ansible_collections.criu.hosts.plugins.module_utils._store.stored_listing import list_store

    return list_store(params["store"], params["kind"], params["name"], read_contents, detail or (), verify=verify)


def run(ctx: Context) -> Outcome:
    """Describes the checkpoints."""
    found = found_in(ctx)
    if ctx.params["restorable"]:
        # Few tasks ask for it: the others need not compile these.
        from ansible_collections.criu.hosts.plugins.module_utils._container.restorable import container_blockers
        from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
        from ansible_collections.criu.hosts.plugins.module_utils._process.restorable import process_blockers
        from ansible_collections.criu.hosts.plugins.module_utils._store.entries import judge

        engine = engine_for("podman", ctx)
        for one in found:
            if one.entry["kind"] == "process":
                judge(one, lambda it: process_blockers(ctx, it))
            else:
                judge(one, lambda it: container_blockers(ctx, engine, it))
    return Outcome("checkpoints", [one.entry for one in found])


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        required_one_of=[["path", "store"]],
        mutually_exclusive=[["path", "store"]],
        required_by={"name": ["store"], "kind": ["store"]},
    )


if __name__ == "__main__":
    main()
