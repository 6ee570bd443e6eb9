"""The page under load: requests at once and in a row, broken uploads, a killed process; is anything lost, does memory stay?

python benchmarks/page.py                  prints the table of benchmarks/page.md
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import psutil
from pymatgen.core import Lattice, Structure

sys.path.insert(0, str(Path(__file__).parents[1]))
from crystalfw.core.crystal import Crystal
from tests.hostile.corpus import broken_files


class Server:
    """A server of its own, and requests with its token."""

    def __init__(self, runs: Path) -> None:
        command = [sys.executable, "-m", "crystalfw.core.commands.cli", "serve", "--runs", str(runs), "--port", "0"]
        self.began = time.monotonic()
        self.process = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.home, _, token = self.process.stdout.readline().split()[-1].partition("/?token=")
        self.headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and answer."""
        request = urllib.request.Request(self.home + path, body, self.headers)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def mb(self) -> float:
        """Memory of the server and of the process that answers short questions."""
        process = psutil.Process(self.process.pid)
        return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 2**20


def main() -> None:
    cif = Crystal.from_structure(
        Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])
    ).cif()
    body = json.dumps({"cif": cif}).encode()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        rows = [("address printed", f"{time.monotonic() - server.began:.1f} s")]
        for path in ("/predict", "/strings"):
            times = [timed(lambda path=path: server.ask(path)) for _ in range(20)]
            rows.append((f"{path}, median of 20", f"{1000 * median(times):.0f} ms"))
        first, second = (timed(lambda: server.ask("/api/v1/scene", body)) for _ in range(2))
        rows.append(("first picture of a crystal (a process starts)", f"{first:.1f} s"))
        rows.append(("next picture", f"{1000 * second:.0f} ms"))
        before = server.mb()
        with ThreadPoolExecutor(50) as pool:
            began = time.monotonic()
            codes = [code for code, _ in pool.map(lambda _: server.ask("/api/v1/scene", body), range(50))]
        rows.append(("50 pictures at once", f"{codes.count(200)} answered, {time.monotonic() - began:.1f} s"))
        began = time.monotonic()
        codes = [server.ask("/api/v1/scene", body)[0] for _ in range(1000)]
        rows.append(("1,000 pictures in a row", f"{codes.count(200)} answered, {time.monotonic() - began:.0f} s"))
        rows.append(("memory before and after these", f"{before:.0f} MB, {server.mb():.0f} MB"))
        rows += uploads(server)
        began = time.monotonic()
        job = json.loads(server.ask("/api/v1/jobs", b'{"kind": "predict", "formulas": ["NaCl"]}')[1])
        while not json.loads(server.ask(f"/api/v1/jobs/{job['id']}/crystals")[1])["rows"]:
            time.sleep(0.1)
        rows.append(("predict NaCl, first crystal", f"{time.monotonic() - began:.1f} s"))
        server.process.terminate()
        server.process.wait()
    print("| what | measured |\n|---|---|")
    print("\n".join(f"| {what} | {value} |" for what, value in rows))


def uploads(server: Server) -> list[tuple[str, str]]:
    """1,000 broken files: sent, and counted in the bounded process."""
    outcomes: dict[str, int] = {}
    before = server.mb()
    for file in broken_files(1000, seed=5, large=False):
        code, answer = server.ask(f"/api/v1/uploads/{file.name}", file.content)
        if code == 201:
            code, answer = server.ask(f"/api/v1/uploads/{json.loads(answer)['id']}/crystals")
        content = json.loads(answer)
        kind = "crystals" if content.get("crystals") else "set aside" if "crystals" in content else f"refused ({code})"
        outcomes[kind] = outcomes.get(kind, 0) + 1
    alive = server.ask("/api/v1/status")[0] == 200
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(outcomes.items()))
    return [("1,000 broken uploads", f"{found}; the server {'answers' if alive else 'IS DEAD'}"),
            ("memory before and after these", f"{before:.0f} MB, {server.mb():.0f} MB")]  # fmt: skip


def timed(call: object) -> float:
    began = time.monotonic()
    call()  # type: ignore[operator]
    return time.monotonic() - began


if __name__ == "__main__":
    main()
