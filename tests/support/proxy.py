"""A TCP proxy on the loopback interface that counts round trips, eats and delays replies, falls silent and
cuts connections.
"""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType

Pair = tuple[socket.socket, socket.socket]


class Proxy:
    """Hands bytes on in both directions, until told otherwise.

    Attributes:
        port: where it listens, on 127.0.0.1.
        target: host and port that new connections lead to; may be changed.
        round_trips: turns from a request to its reply, on all connections. May be set to 0.
        eat: how many replies are still to be swallowed. The server carried the command out; the client sees
            its connection break.
        garble: what is sent in place of the next reply, if it is not empty.
        garble_all: while True, that is sent in place of all further replies too.
        delay: seconds by which every reply is delayed, as on a slow network.
        mute: while True, replies are never sent and connections stay open: a server that does not answer.
        connections: how many were accepted.
    """

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.round_trips = 0
        self.eat = 0
        self.garble = b""
        self.garble_all = False
        self.delay = 0.0
        self.mute = False
        self.connections = 0
        self._lock = threading.Lock()
        self._pairs: set[Pair] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._listener)
        self.cut()

    def cut(self) -> None:
        """Break every connection there is."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._drop(pair)

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:
                _end(client)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self._lock:
                self.connections += 1
                self._pairs.add(pair)
            waiting = threading.Event()  # a request is on its way, and nothing of its reply was seen
            threading.Thread(target=self._requests, args=(pair, waiting), daemon=True).start()
            threading.Thread(target=self._replies, args=(pair, waiting), daemon=True).start()

    def _requests(self, pair: Pair, waiting: threading.Event) -> None:
        client, server = pair
        try:
            while data := client.recv(65536):
                waiting.set()
                server.sendall(data)
        except OSError:
            pass
        self._drop(pair)

    def _replies(self, pair: Pair, waiting: threading.Event) -> None:
        client, server = pair
        try:
            while data := server.recv(65536):
                if waiting.is_set():
                    waiting.clear()
                    with self._lock:
                        self.round_trips += 1
                        if self.eat:
                            self.eat -= 1
                            break
                    if self.garble:
                        data = self.garble
                        self.garble = self.garble if self.garble_all else b""
                if self.delay:
                    time.sleep(self.delay)
                if not self.mute:
                    client.sendall(data)
        except OSError:
            pass
        self._drop(pair)

    def _drop(self, pair: Pair) -> None:
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            _end(end)


def _end(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
