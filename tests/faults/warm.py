"""A parent process that has imported everything once and forks a child for each command: a start costs milliseconds.

The child is a process of its own, like one started from a shell: own signals, own standard output, killable with -9. Only
modules are imported before the fork; the parent computes nothing, so it has no threads that a child would miss.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER = "CRYSTALFW_TEST_SERVER"
_IMPORTED = (
    "run.run", "model.assembly", "run.after_fit", "evaluate.evaluation", "evaluate.report", "sample.trained", "data.prepare",
    "run.ablation", "run.ablation.report",
)  # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Child:
    """A command that runs in a forked child."""

    def __init__(self, connection: socket.socket, log: Path) -> None:
        self._connection, self._log = connection, log
        self._code: int | None = None
        self.pid = int(self._line())

    def wait(self, timeout: float = 120) -> int:
        """The exit code; negative for the signal that ended it."""
        if self._code is None:
            self._connection.settimeout(timeout)
            try:
                word = self._line()
            except TimeoutError:
                self.send(signal.SIGKILL)
                raise AssertionError(f"still running after {timeout} s:\n{self.output}") from None
            finally:
                self._connection.close()
            self._code = int(word)
        return self._code

    def send(self, number: int) -> None:
        """A signal to the child; one that is gone is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def __del__(self) -> None:
        self._connection.close()

    @property
    def output(self) -> str:
        """What it wrote so far, standard output and error together."""
        return self._log.read_text(errors="replace")

    def _line(self) -> str:
        said = b""
        while not said.endswith(b"\n"):
            byte = self._connection.recv(1)
            assert byte, f"the warm server is gone:\n{self.output}"
            said += byte
        return said.decode().strip()


class Warm:
    """The server, seen from tests. Use as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.address = str(Path(self._folder.name) / "server")
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1"), SERVER: self.address}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm", self.address], cwd=ROOT, env=environment, stdin=subprocess.PIPE
        )
        self._count = 0
        end = time.monotonic() + 600
        while not Path(self.address).exists():
            assert self._process.poll() is None, "the warm server did not start"
            assert time.monotonic() < end, "the warm server takes too long to start"
            time.sleep(0.05)

    def start(self, arguments: Sequence[str], *, cwd: Path | None = None, **environment: str) -> Child:
        """Start `crystalfw ARGUMENTS`; `prepare! ...` and the like name functions of tests.faults.stages instead."""
        self._count += 1
        log = Path(self._folder.name) / f"{self._count}.log"
        with log.open("wb") as stream:
            return Child(request(self.address, arguments, cwd or ROOT, environment, [stream.fileno()] * 2), log)

    def run(self, arguments: Sequence[str], *, cwd: Path | None = None, timeout: float = 120, **environment: str) -> str:
        """Run a command to its end; its output. AssertionError where it fails."""
        child = self.start(arguments, cwd=cwd, **environment)
        code = child.wait(timeout)
        assert code == 0, f"{' '.join(arguments)}: exit code {code}\n{child.output}"
        return child.output

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._folder.cleanup()


def request(
    address: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], files: list[int]
) -> socket.socket:
    """Ask the server for a child; the connection says its pid, then its exit code."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    content = json.dumps({"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}).encode()
    socket.send_fds(connection, [len(content).to_bytes(4, "big") + content], files)
    return connection


def serve(address: str) -> None:
    """Import, listen, fork; ends when standard input is closed."""
    import select
    from importlib import import_module

    for name in _IMPORTED:
        import_module(f"crystalfw.core.{name}")
    for name in ("run", "sample", "decode", "evaluate", "ablate"):
        import_module(f"crystalfw.core.commands.{name}")
    from crystalfw.core.discovery import registry

    for entry in registry().entries():
        with contextlib.suppress(Exception):  # a plugin whose library is missing here
            entry.load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the system
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address + ".new")
    listening.listen(16)
    os.rename(address + ".new", address)
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _wait(connection)
        connection.close()


def _wait(connection: socket.socket) -> None:
    """Between server and child: reports how the child ended, whatever ended it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _child(connection)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.send(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _child(connection: socket.socket) -> None:
    code = 70
    try:
        data, files, _, _ = socket.recv_fds(connection, 1 << 20, 2)
        length = int.from_bytes(data[:4], "big")
        while len(data) < length + 4:
            data += connection.recv(1 << 20)
        asked = json.loads(data[4:])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in enumerate(files, start=1):
            os.dup2(file, number)
        os.chdir(asked["cwd"])
        os.environ.update(asked["environment"])
        connection.send(f"{os.getpid()}\n".encode())
        connection.close()
        code = _call(asked["arguments"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _call(arguments: list[str]) -> int:
    from tests.faults import stages

    stages.make_small()
    from crystalfw.core.commands.cli import main
    from crystalfw.core.errors import CrystalfwError

    if not arguments[0].endswith("!"):
        return main(arguments)
    try:
        return int(getattr(stages, arguments[0][:-1])(*arguments[1:]) or 0)
    except CrystalfwError as error:  # as main does
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    serve(sys.argv[1])
