# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists which types, commands and objects belong to containers, engines and CRIU, and describes a known denial."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._denials.records import Record
from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import Remedy
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import type_of

ANY = frozenset({"*"})
SELF = frozenset({"self"})


def words(text: str) -> frozenset[str]:
    """Returns the words of a text."""
    return frozenset(text.split())


CONTAINER = words(
    "container_t container_init_t container_kvm_t container_user_t container_userns_t container_device_t "
    "container_device_plugin_t container_device_plugin_init_t container_logreader_t container_logwriter_t "
    "criu_container_t svirt_lxc_net_t spc_t"
)
ENGINE = words("podman_t container_runtime_t container_engine_t docker_t crio_t")
# Every type of containers, also those that udica makes.
ANY_CONTAINER = frozenset({"container"})
SHELL = words("unconfined_t")
SERVICE = words("unconfined_service_t initrc_t")
USER = words("user_t staff_t sysadm_t")
GITHUB = "https://github.com/"
# The types that udica creates for containers have such names.
_OWN_SUFFIX = ".process"
# Types of containers, engines, their helpers and their files, in container-selinux and in refpolicy.
_RELATED = re.compile(
    r"(?:\w{1,40}_)?(?:container|containers|containerd|conmon|podman|docker|dockerd|crio|buildah|skopeo|kubelet|kubernetes"
    r"|pasta|passt|slirp4netns|netavark|criu|spc|svirt_lxc|svirt_sandbox|virtd_lxc|lxc)(?:_\w{1,80})?_t"
)
# The kernel cuts a command at fifteen characters.
COMMANDS = words(
    "criu runc crun youki podman podmansh conmon conmonrs netavark aardvark-dns slirp4netns pasta passt buildah skopeo "
    "docker dockerd docker-proxy docker-containe containerd containerd-shim crio crictl kubelet nerdctl "
    "fuse-overlayfs rootlessport catatonit"
)
PLACES = re.compile(r"/containers/|/overlay-containers/|/libpod|/docker/|/\.criu\.|/crtools-|/criu-|/cr-tmpfs\.")
ENGINE_SOCKET_ID = "engine_socket"
ENGINE_SOCKET = r"(?:\A|/)(?:podman|docker|containerd|crio|buildkitd|cri-dockerd|io\.podman)\.sock\Z"


def is_container(name: str) -> bool:
    """Returns whether a type is the domain of containers, also one that udica made."""
    return name in CONTAINER or name.endswith(_OWN_SUFFIX)


def is_command(comm: str, known: str) -> bool:
    """Returns whether a command is ``known``, or one of its processes such as ``runc:[2:INIT]``; not ``runcon``."""
    rest = comm[len(known) :]
    return comm.startswith(known) and not rest[:1].isalnum()


def object_path(record: Record) -> str:
    """Returns the path of the object, or its name; ausearch prints an abstract socket without its @."""
    return record.fields.get("path") or record.fields.get("name") or ""


def _names(record: Record) -> list[str]:
    fields = record.fields
    paths = (fields.get("exe", ""), object_path(record), fields.get("cmdline", "").partition(" ")[0])
    return [record.comm, *(path.rpartition("/")[2] for path in paths)]


def related(record: Record, caller: str = "") -> bool:
    """Returns whether CRIU, a container or an engine is involved; ``caller`` is the command of the system call."""
    types = {type_of(record.source), type_of(record.target)}
    return (
        any(is_container(name) or name in ENGINE or _RELATED.fullmatch(name) for name in types)
        or any(is_command(name, known) for name in (*_names(record), caller) for known in COMMANDS)
        or PLACES.search(object_path(record)) is not None
        or re.search(ENGINE_SOCKET, object_path(record)) is not None
    )


@dataclass(frozen=True)
class Asked:
    """The denials that an entry is about: types of source and target, class, permissions (any of them)."""

    source: frozenset[str]
    target: frozenset[str]
    tclass: str
    permissions: frozenset[str]


def _container_target(asked: Asked, target: str) -> bool:
    return asked.target is ANY_CONTAINER and is_container(target)


@dataclass(frozen=True)
class Known:
    """A denial and its meaning. ``matters``: yes (the operation fails), no or unknown.

    ``comm``: the command; ``path``: a pattern of the object's path; ``foreign``: source and target differ in type.
    With ``fallback``, the rules of our own policy module come first. ``otherwise``: what ``matters`` is if neither
    CRIU, a container nor an engine is involved. ``elsewhere``: a container or an engine loses something, but no
    checkpoint or restore fails because of it.
    """

    id: str
    asked: Asked
    cause: str
    remedy: Remedy
    recorded: tuple[str, ...]
    matters: str = "yes"
    comm: tuple[str, ...] = ()
    path: str = ""
    foreign: bool = False
    fallback: bool = False
    otherwise: str = ""
    elsewhere: bool = False

    def fits(self, record: Record) -> bool:
        """Returns whether this entry is about a denial."""
        source, target, asked = type_of(record.source), type_of(record.target), self.asked
        same = "self" in asked.target and source == target
        return (
            ("*" in asked.source or source in asked.source or (asked.source is ANY_CONTAINER and is_container(source)))
            and ("*" in asked.target or target in asked.target or same or _container_target(asked, target))
            and (asked.tclass == "*" or record.tclass in asked.tclass.split())
            and ("*" in asked.permissions or bool(asked.permissions & set(record.permissions)))
            and (not self.comm or any(is_command(record.comm, known) for known in self.comm))
            and not (self.foreign and source == target)
            and (not self.path or re.search(self.path, object_path(record)) is not None)
        )
