"""A man in the middle of the PostgreSQL protocol, on Unix sockets: it spoils what the server says at the end of a base backup."""

import pathlib
import socket
import threading


def error_message(code, text):
    fields = b"SERROR\0VERROR\0C" + code.encode() + b"\0M" + text.encode() + b"\0\0"
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


class Messages:
    """Cuts a stream of bytes into the protocol's messages: one byte of type, four of length, the rest."""

    def __init__(self):
        self.pending = b""

    def feed(self, data):
        self.pending += data
        while len(self.pending) >= 5:
            end = 1 + int.from_bytes(self.pending[1:5], "big")
            if len(self.pending) < end:
                return
            message, self.pending = self.pending[:end], self.pending[end:]
            yield message


class Proxy:
    """Listens in a directory of its own. Once the client has asked for BASE_BACKUP, spoil(message) sees what the server
    answers and gives what the client gets; None closes the connection."""

    def __init__(self, directory, server, spoil):
        self.server = str(pathlib.Path(server) / ".s.PGSQL.5432")
        self.spoil = spoil
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(pathlib.Path(directory) / ".s.PGSQL.5432"))
        pathlib.Path(directory, ".s.PGSQL.5432").chmod(0o777)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            backup = threading.Event()
            threading.Thread(target=self._upstream, args=(client, server, backup), daemon=True).start()
            threading.Thread(target=self._downstream, args=(client, server, backup), daemon=True).start()

    @staticmethod
    def _upstream(client, server, backup):
        try:
            while data := client.recv(65536):
                if b"BASE_BACKUP" in data:
                    backup.set()
                server.sendall(data)
        except OSError:
            pass
        finally:
            server.close()

    def _downstream(self, client, server, backup):
        messages = Messages()
        try:
            # Before the first message stands the one-byte answer to a request for TLS, which is not asked for on a Unix socket.
            while data := server.recv(65536):
                for message in messages.feed(data):
                    answer = self.spoil(message) if backup.is_set() else message
                    if answer is None:
                        return
                    client.sendall(answer)
        except OSError:
            pass
        finally:
            for end in (client, server):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()
