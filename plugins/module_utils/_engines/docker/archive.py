# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes and reads the descriptions in an archive of a Docker container.

Docker has no archives of checkpoints. Ours have the layout of podman's (_engines/archive.py), and docker.dump with what
Docker's API needs to make the container again (POST /containers/create: the objects Config and HostConfig of an
inspection, and NetworkingConfig).
"""

from __future__ import annotations

import json
import re
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import StreamError
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import (
    DUMP_LIMIT,
    DUMPS,
    described,
    opened_archive,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options, to_record
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import (
    binds_of,
    entry_of,
    image_id_of,
    networks_of,
    restart_of,
    runtime_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, objects, word, words
from ansible_collections.criu.hosts.plugins.module_utils._engines.inspection import inspected_ports
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdError, ZstdMissing
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import NAME

DESCRIPTION = "docker.dump"
# CRIU's images.
IMAGES = "checkpoint"
# The changes of the files of the container, and the files of its volumes.
ROOTFS = "rootfs-diff.tar"
VOLUMES = "volumes.tar"
_KEPT = ("Config", "HostConfig", "Mounts", "Image", "ProcessLabel", "AppArmorProfile")
# What a person has chosen in a network; Docker chooses the rest.
_ENDPOINT = ("IPAMConfig", "Links", "Aliases", "DriverOpts")


def describe(container: Container, oci: Mapping[str, Any], volumes: tuple[str, ...]) -> dict[str, str]:
    """Returns the descriptions of an archive, by their names.

    ``oci`` is the configuration of the OCI runtime, ``volumes`` are those whose files are in the archive.
    """
    entry = entry_of(container)
    config = {
        "id": container.id,
        "name": container.name,
        "rootfsImageName": container.image,
        "rootfsImageID": container.image_id,
        "runtime": container.runtime,
        "createdTime": container.created_at,
        "engine": "docker",
    }
    # The hooks are of this daemon's network; a restore gets those of its own daemon.
    spec = {key: value for key, value in oci.items() if key != "hooks"}
    kept = {
        **{key: entry.get(key) for key in _KEPT},
        "Networks": inner(inner(entry, "NetworkSettings"), "Networks"),
        "Packed": list(volumes),
    }
    return {name: json.dumps(one) for name, one in zip((*DUMPS, DESCRIPTION), (config, spec, kept))}


def read_description(path: str) -> dict[str, Any]:
    """Returns docker.dump of an archive; what follows it is not read.

    Raises:
        CheckpointError: archive_invalid; archive_unreadable, this host lacks libzstd.
    """

    def read() -> dict[str, Any]:
        with opened_archive(path) as archive:
            for member in archive:
                if "/".join(member.parts) == DESCRIPTION and member.kind == "file":
                    return parse_object(archive.content(DUMP_LIMIT))
        raise ValueError(f"it has no {DESCRIPTION}, so docker has not made it")

    found: dict[str, Any] = _reading(path, read)
    return found


def describe_archive(path: str) -> Record:
    """Reads the container's own description out of an archive that has no record.

    Raises:
        CheckpointError: archive_invalid; archive_unreadable, this host lacks libzstd.
    """
    return described(path, lambda dumps: record_in(dumps[DUMPS[0]], read_description(path)))


def _reading(path: str, read: Any) -> Any:
    try:
        return read()
    except ZstdMissing as error:
        raise CheckpointError(
            f"Cannot read the archive {path!r}: {error}. Install that library (Debian: libzstd1, Red Hat: libzstd).",
            reason="archive_unreadable",
            path=path,
        ) from error
    except (StreamError, ZstdError) as error:
        raise invalid(path, f"it cannot be read as a checkpoint archive ({error})") from error
    except ValueError as error:
        raise invalid(path, str(error)) from error
    except OSError as error:
        raise invalid(path, f"it cannot be read ({error.strerror})") from error


def record_in(config: dict[str, Any], kept: dict[str, Any]) -> Record:
    """Returns what config.dump and docker.dump say about the container; raises ValueError."""
    host = inner(kept, "HostConfig")
    profile = word(kept, "AppArmorProfile")
    return Record(
        engine="docker",
        id=word(config, "id"),
        name=word(config, "name"),
        image=word(inner(kept, "Config"), "Image"),
        image_id=image_id_of(word(kept, "Image")),
        runtime=runtime_of(word(host, "Runtime")),
        process_label=word(kept, "ProcessLabel"),
        apparmor_profile="" if profile == "unconfined" else profile,
        volumes=volumes_in(kept),
        binds=tuple(to_record(binds_of(kept))),
        ports=inspected_ports(inner(host, "PortBindings")),
        networks=networks_of(inner(kept, "Networks")),
        restart=restart_of(inner(host, "RestartPolicy")),
    )


def volumes_in(kept: dict[str, Any]) -> tuple[str, ...]:
    """Returns the names of the volumes in docker.dump."""
    return tuple(word(one, "Name") for one in _volume_mounts(kept))


def packed_in(kept: dict[str, Any]) -> tuple[str, ...]:
    """Returns the volumes whose files the archive has.

    Raises:
        ValueError: there is one that the container does not have.
    """
    found, known = words(kept, "Packed"), volumes_in(kept)
    strange = next((one for one in found if one not in known or not re.fullmatch(NAME, one)), None)
    if strange is not None:
        raise ValueError(f"{strange[:100]!r} is none of the container's volumes")
    return found


def _volume_mounts(kept: dict[str, Any]) -> list[dict[str, Any]]:
    mounts = objects(kept.get("Mounts"), "Mounts")
    return [one for one in mounts if one.get("Type") == "volume" and word(one, "Name")]


def request_of(kept: dict[str, Any], name: str, image: str, options: Options) -> str:
    """Returns the request that makes the container ``name`` from docker.dump, as HTTP wants it.

    Without its restart policy: until it is restored, Docker must not start it by itself. A volume without a name of its
    own keeps the name that Docker has given it, and none gets files of the image: it gets those that it had.

    Raises:
        ValueError: docker.dump is not what describe() makes.
    """
    config, host = dict(inner(kept, "Config")), dict(inner(kept, "HostConfig"))
    networks = inner(kept, "Networks")
    named = {one.split(":")[0] for one in words(host, "Binds")}
    named |= {word(one, "Source") for one in objects(host.get("Mounts"), "Mounts")}
    binds = [
        f"{word(one, 'Name')}:{word(one, 'Destination')}:nocopy{'' if one.get('RW') is True else ',ro'}"
        for one in _volume_mounts(kept)
        if word(one, "Name") not in named
    ]
    host.update(Binds=[*_empty(host), *binds], Mounts=_empty_mounts(host))
    host.update(RestartPolicy={"Name": "no"}, ContainerIDFile="")
    wanted = [key for key in _ENDPOINT if not (key == "IPAMConfig" and options.ignore_static_ip)]
    if options.ignore_static_mac:
        config.pop("MacAddress", None)
    endpoints = {key: {one: inner(networks, key).get(one) for one in wanted} for key in networks}
    body = {**config, "Image": image, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": endpoints}}
    text = json.dumps(body)
    head = (
        f"POST /containers/create?name={name} HTTP/1.1",
        "Host: docker",
        "Content-Type: application/json",
        f"Content-Length: {len(text)}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", text))


def _empty(host: dict[str, Any]) -> list[str]:
    """Returns the entries of Binds, with volumes into which Docker copies nothing: SOURCE:TARGET[:OPTIONS]."""
    found = []
    for one in words(host, "Binds"):
        source, target, *rest = one.split(":", 2)
        options = [*(rest[0].split(",") if rest else ()), *(() if source.startswith("/") else ("nocopy",))]
        found.append(":".join((source, target, *((",".join(dict.fromkeys(options)),) if options else ()))))
    return found


def _empty_mounts(host: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the entries of Mounts, with volumes into which Docker copies nothing."""
    return [
        {**one, "VolumeOptions": {**inner(one, "VolumeOptions"), "NoCopy": True}}
        if one.get("Type") == "volume"
        else one
        for one in objects(host.get("Mounts"), "Mounts")
    ]


def config_in(path: str) -> str:
    """Returns the file that the annotation org.criu.config of the archived container names; empty if not known."""
    found, error = attempt("read the archive", lambda: read_description(path))
    try:
        annotations = {} if error is not None else inner(inner(found, "HostConfig"), "Annotations")
        return word(annotations, "org.criu.config")
    except ValueError:
        return ""
