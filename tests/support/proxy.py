"""A TCP proxy on the loopback interface that counts round trips, eats replies and cuts connections."""

from __future__ import annotations

import socket
import threading
from types import TracebackType


class EatingProxy:
    """Hands bytes on in both directions, and is told when to misbehave.

    Attributes:
        port: where it listens, on 127.0.0.1.
        target: host and port that new connections lead to; may be changed.
        count: round trips seen: turns from a request to its reply, on all connections. May be set to 0.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.count = 0
        self._eat = 0
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> EatingProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _end(self._listener)
        self.cut()

    def eat_next_reply(self, replies: int = 1) -> None:
        """Swallow what the server answers next, so many times, and break that connection: the request was carried out."""
        with self._lock:
            self._eat = replies

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
                self._pairs.add(pair)
            waiting = threading.Event()  # a request is on its way, and nothing of its reply was seen
            threading.Thread(target=self._requests, args=(pair, waiting), daemon=True).start()
            threading.Thread(target=self._replies, args=(pair, waiting), daemon=True).start()

    def _requests(self, pair: tuple[socket.socket, socket.socket], waiting: threading.Event) -> None:
        client, server = pair
        try:
            while data := client.recv(65536):
                waiting.set()
                server.sendall(data)
        except OSError:
            pass
        self._drop(pair)

    def _replies(self, pair: tuple[socket.socket, socket.socket], waiting: threading.Event) -> None:
        client, server = pair
        try:
            while data := server.recv(65536):
                if waiting.is_set():
                    waiting.clear()
                    with self._lock:
                        self.count += 1
                        eaten, self._eat = self._eat > 0, max(self._eat - 1, 0)
                    if eaten:
                        break
                client.sendall(data)
        except OSError:
            pass
        self._drop(pair)

    def _drop(self, pair: tuple[socket.socket, socket.socket]) -> None:
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
