"""A TCP proxy on the loopback interface that can swallow a server's replies."""

from __future__ import annotations

import socket
import threading
from types import TracebackType


class Proxy:
    """Hands bytes on in both directions, until told otherwise.

    Attributes:
        eat: how many replies are still to be swallowed. The server carried the command out; the client sees its
            connection break.
        garble: what is sent in place of the next reply, where it is not empty.
        mute: while True, replies are held back for good and connections stay open: a server that does not answer.
        connections: how many were accepted.
    """

    def __init__(self, port: int) -> None:
        self.eat = 0
        self.garble = b""
        self.mute = False
        self.connections = 0
        self._target = ("127.0.0.1", port)
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(self._listener)
        self.break_all()

    def break_all(self) -> None:
        """Break every connection there is."""
        while self._sockets:
            self._end(self._sockets.pop())

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                self._end(client)
                continue
            self.connections += 1
            self._sockets += [client, server]
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._replies, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                server.sendall(data)
        except OSError:
            pass
        self._end(server)

    def _replies(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                if self.mute:
                    continue
                if self.garble:
                    data, self.garble = self.garble, b""
                if self.eat:
                    self.eat -= 1
                    break
                client.sendall(data)
        except OSError:
            pass
        self._end(client)
        self._end(server)

    @staticmethod
    def _end(end: socket.socket) -> None:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()
