"""What a rank does that cannot be reached, and one that is talked to by a stranger; real groups are in tests/faults."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import SimpleNamespace

from crystalfw.core.system import ranks as peers


def group(rank, answers):
    """A rank of two; `answers` are what broadcasts bring, None for what this rank sends itself."""
    coming = iter(answers)

    def broadcast(value):
        answer = next(coming)
        return value if answer is None else answer

    return SimpleNamespace(global_rank=rank, world_size=2, is_global_zero=rank == 0, broadcast=broadcast)


def test_a_rank_that_cannot_be_reached_is_not_watched(monkeypatch, capsys):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert peers._connect(group(1, ["token", port])) == {}
    assert "process 1 cannot reach all others to watch them" in capsys.readouterr().err


def test_a_stranger_on_the_port_is_sent_away(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    ports, ready = [], threading.Event()

    class Zero:
        global_rank, world_size, is_global_zero = 0, 2, True

        def broadcast(self, value):
            if isinstance(value, int):
                ports.append(value)
                ready.set()
                return value
            return "t" * 32

    found = {}
    thread = threading.Thread(target=lambda: found.update(peers._connect(Zero())))
    thread.start()
    assert ready.wait(10)
    with socket.create_connection(("127.0.0.1", ports[0])) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: a.very.long.name.of.somebody\r\n\r\n")
        with suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
        honest = peers._connect(group(1, ["t" * 32, ports[0]]))
    thread.join(10)
    assert list(found) == [1]
    for connection in (*found.values(), *honest.values()):
        connection.close()
