"""A TCP proxy on loopback that can be cut and restored: an outage of the service behind it for its clients."""

import socket
import threading
from contextlib import suppress


class Proxy:
    """Listens on a port and forwards every connection to `port`."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._open: list[socket.socket] = []
        self._changing = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._serve()

    def cut(self) -> None:
        """Refuse connections, and end those that are there."""
        # Closing alone would leave the accepting thread, and with it the port.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._changing:
            for end in self._open:
                _end(end)
            self._open.clear()

    def mend(self) -> None:
        """Accept connections again, on the same port."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(("127.0.0.1", self._behind))
                with self._changing:
                    self._open += [near, far]
                    if server is not self._server or server.fileno() < 0:
                        # Accepted just before it was cut.
                        _end(near)
                        _end(far)
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_pour, args=(source, target), daemon=True).start()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        _end(end)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
