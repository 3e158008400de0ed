# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold one file descriptor of each kind, use all of them repeatedly, and count the rounds.

Usage: descriptors.py [--interval SECONDS] [--folder DIR]

The program ends if a descriptor does not work after a restore, or if SELinux no longer allows its use.
"""

import os
import select
import socket
import struct
import sys
import time


def option(name, default):
    """Return the value that follows an option."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def expect(found, wanted, what):
    """End the program if a descriptor returns a different value."""
    if found != wanted:
        raise OSError("%s gave %r instead of %r" % (what, found, wanted))


class Descriptors:
    """The descriptors, opened once; ``path`` is that of a Unix socket that echoes what a client sends."""

    def __init__(self, path):
        self.pipe = os.pipe()
        self.stream = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.dgram = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(1)
        if os.path.exists(path):
            os.unlink(path)
        self.echo = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.echo.bind(path)
        self.echo.listen(1)
        self.echo.setblocking(False)
        self.memory = os.memfd_create("descriptors")
        self.event = os.eventfd(0, os.EFD_NONBLOCK)
        self.epoll = select.epoll()
        self.epoll.register(self.event, select.EPOLLIN)
        self.terminal = os.openpty()

    def use(self, value):
        """Send ``value`` through each of them."""
        data = b"%d\n" % value
        os.write(self.pipe[1], data)
        expect(os.read(self.pipe[0], 64), data, "pipe")
        for name, pair in (("stream", self.stream), ("dgram", self.dgram)):
            pair[0].send(data)
            expect(pair[1].recv(64), data, name)
        self.udp.sendto(data, self.udp.getsockname())
        expect(self.udp.recv(64), data, "udp")
        expect(self.listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1, "listening socket")
        self.serve()
        os.pwrite(self.memory, data, 0)
        expect(os.pread(self.memory, len(data), 0), data, "memfd")
        os.eventfd_write(self.event, 1)
        expect(self.epoll.poll(5), [(self.event, select.EPOLLIN)], "epoll")
        expect(os.eventfd_read(self.event), 1, "eventfd")
        os.write(self.terminal[0], data)
        expect(os.read(self.terminal[1], 64), data, "terminal")
        os.read(self.terminal[0], 64)

    def serve(self):
        """Answer a client of the Unix socket, if there is one. SELinux is asked for accept in any case."""
        expect(self.echo.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), 1, "listening Unix socket")
        try:
            client = self.echo.accept()[0]
        except BlockingIOError:
            return
        with client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
            client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            client.sendall(client.recv(64))
            client.shutdown(socket.SHUT_WR)


def main():
    """Use them until one fails."""
    folder = option("--folder", "/app/state")
    interval = float(option("--interval", "0.2"))
    os.makedirs(folder, exist_ok=True)
    held = Descriptors(os.path.join(folder, "echo"))
    with open(os.path.join(folder, "thread-0"), "w") as out:
        value = 0
        while True:
            value += 1
            held.use(value)
            out.seek(0)
            out.write("0 %d %d\n" % (os.getpid(), value))
            out.flush()
            time.sleep(interval)


if __name__ == "__main__":
    main()
