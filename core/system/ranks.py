"""Ranks notice when another rank has ended, whatever they wait for, and exit with a message.

A collective operation waits for ever (or for hours) if a process of the group was killed. So every rank keeps a TCP
connection to rank 0, watched by a thread: the system closes it when the process ends, however it ends, and keep-alive
packets detect a lost machine within 40 s. A rank that ends normally sends a goodbye first.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from lightning_fabric import Fabric

from crystalfw.core.errors import Interrupted

_GOODBYE, _STOPPED = b".", b"s"
_LEAVING_S = 30.0
"""Time that ranks have to exit by themselves after one was stopped by a signal."""
_PATIENCE_S = 60.0
"""Longest wait for the connections of a group that has just been launched."""
_INTRODUCTION_S = 5.0
"""Longest wait for the message of a process that has connected."""
_GRACE_S = 3.0
"""Time that a rank whose own collective failed gives the watching thread to print the reason."""


@contextlib.contextmanager
def watched_peers(fabric: Fabric, run_dir: Path) -> Iterator[None]:
    """If any rank ends inside the block, this process exits with code 1 and a message; a single process is not watched."""
    if fabric.world_size == 1:
        yield
        return
    peers = _connect(fabric)
    threading.Thread(target=_watch, args=(peers, run_dir), name="crystalfw-peers", daemon=True).start()
    try:
        yield
    except RuntimeError as error:
        if not _of_a_collective(error):
            raise
        time.sleep(_GRACE_S)  # most likely another rank has ended: then the thread prints this and ends the process
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Interrupted(
            f"the other processes cannot be reached any more ({reason}); continue with: crystalfw run --resume {run_dir}"
        ) from error
    except (Interrupted, KeyboardInterrupt):
        _say(peers, _STOPPED)
        raise
    _say(peers, _GOODBYE)


def _of_a_collective(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or "gloo" in text or "connection closed" in text


def _say(peers: dict[int, socket.socket], word: bytes) -> None:
    for connection in peers.values():
        with contextlib.suppress(OSError):
            connection.send(word)


def _connect(fabric: Fabric) -> dict[int, socket.socket]:
    """Rank 0: a connection to every other rank; another rank: the one to rank 0. Ranks that cannot be reached are not
    watched."""
    address = os.environ.get("MASTER_ADDR", "127.0.0.1")
    token = fabric.broadcast(secrets.token_hex(16))
    found: dict[int, socket.socket] = {}
    try:
        if fabric.is_global_zero:
            _listen(fabric, address, token, found)
        else:
            found[0] = _call(fabric, address, token)
    except OSError as error:  # keep the existing connections, because closing one would end its rank
        print(
            f"process {fabric.global_rank} cannot reach all others to watch them ({error}): it continues, but if one of them "
            "dies, it may wait for hours",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return found


def _call(fabric: Fabric, address: str, token: str) -> socket.socket:
    port = fabric.broadcast(0)
    connection = socket.create_connection((address, port), timeout=_PATIENCE_S)
    connection.sendall(f"{token} {fabric.global_rank:08d}".encode())
    return _kept_alive(connection)


def _listen(fabric: Fabric, address: str, token: str, found: dict[int, socket.socket]) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listening:
        listening.bind(("", 0))
        listening.listen(fabric.world_size)
        listening.settimeout(_PATIENCE_S)
        fabric.broadcast(listening.getsockname()[1])
        while len(found) < fabric.world_size - 1:
            connection, _ = listening.accept()
            rank = _introduced(connection, token)
            if rank is None:  # a process outside of the run tried the port
                connection.close()
            else:
                found[rank] = _kept_alive(connection)


def _introduced(connection: socket.socket, token: str) -> int | None:
    """The rank that connected, if it sends the run's token."""
    connection.settimeout(_INTRODUCTION_S)
    try:
        said = connection.recv(len(token) + 9, socket.MSG_WAITALL)
    except OSError:
        return None
    word, _, rank = said.partition(b" ")
    return int(rank) if secrets.compare_digest(word, token.encode()) and rank.isdigit() else None


def _kept_alive(connection: socket.socket) -> socket.socket:
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection


def _watch(peers: dict[int, socket.socket], run_dir: Path) -> None:
    """Return when every other rank has sent its goodbye; end the process if one ends without it."""
    ranks = {connection: rank for rank, connection in peers.items()}
    while ranks:
        ready, _, _ = select.select(list(ranks), [], [])
        for connection in ready:
            try:
                said = connection.recv(1)
            except OSError:
                said = b""
            if said == _STOPPED:  # normally a stop of all ranks; otherwise this one would wait for ever
                timer = threading.Timer(_LEAVING_S, _leave, (ranks[connection], run_dir))
                timer.daemon = True
                timer.start()
            elif said != _GOODBYE:
                _leave(ranks[connection], run_dir)
            del ranks[connection]


def _leave(rank: int, run_dir: Path) -> None:
    print(
        f"\nprocess {rank} of this run is gone (its own output says why, if it could), so this one ends too; what the last "
        f"checkpoint holds is safe; continue with: crystalfw run --resume {run_dir}",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    # Not sys.exit: the main thread may wait in a collective operation that nothing interrupts.
    os._exit(1)
