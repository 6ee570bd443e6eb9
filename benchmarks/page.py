"""The page under load: is anything lost, does memory stay, how soon is something on the screen?

python benchmarks/page.py                  prints the table of benchmarks/page.md, a line as soon as it is measured
python benchmarks/page.py --only screen    one part of it: screen, load, uploads, strangers, killed, disk

The full disk needs the right to mount a small file system (Linux, root); without it that part says so. The screen needs
Chromium and its driver.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import psutil
from pymatgen.core import Lattice, Structure

sys.path.insert(0, str(Path(__file__).parents[1]))
from crystalfw.core.crystal import Crystal
from tests.hostile.corpus import broken_files

SECONDS = 600
Row = tuple[str, str]


class Server:
    """A server of its own, and requests with its token."""

    def __init__(self, runs: Path) -> None:
        command = [sys.executable, "-m", "crystalfw.core.commands.cli", "serve", "--runs", str(runs), "--port", "0"]
        self.began = time.monotonic()
        self.process = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]
        self.home, _, token = self.address.partition("/?token=")
        self.headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and answer."""
        request = urllib.request.Request(self.home + path, body, {**self.headers, **headers})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def mb(self) -> tuple[float, float]:
        """Resident memory of the server, and of the process that answers short questions."""
        process = psutil.Process(self.process.pid)
        return process.memory_info().rss / 2**20, sum(p.memory_info().rss for p in process.children()) / 2**20

    def alive(self) -> str:
        """In words."""
        return "the server answers" if self.ask("/api/v1/status")[0] == 200 else "THE SERVER IS DEAD"

    def job(self, request: dict[str, object]) -> dict[str, object]:
        """A piece of work when it has ended."""
        code, answer = self.ask("/api/v1/jobs", json.dumps(request).encode())
        found = json.loads(answer)
        while code == 201 and found["state"] in ("queued", "running"):
            time.sleep(0.3)
            found = json.loads(self.ask(f"/api/v1/jobs/{found['id']}")[1])
        return dict(found)


@contextmanager
def server(runs: Path) -> Iterator[Server]:
    """One that is ended afterwards."""
    one = Server(runs)
    try:
        yield one
    finally:
        one.process.terminate()
        one.process.wait(60)


def picture() -> bytes:
    """A request for the picture of a crystal."""
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    return json.dumps({"cif": Crystal.from_structure(perovskite).cif()}).encode()


def main() -> None:
    """Print the table."""
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "screen": screen, "load": load, "uploads": uploads, "strangers": strangers, "killed": killed, "disk": disk,
    }  # fmt: skip
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=list(parts), action="append")
    chosen = parser.parse_args().only or list(parts)
    print("| what | measured |\n|---|---|")
    for name in chosen:
        for what, value in parts[name]():
            print(f"| {what} | {value} |", flush=True)


_PAINT = """
const done = arguments[0], name = "first-contentful-paint";
const look = (list) => list.getEntriesByName(name).forEach((entry) => done(entry.startTime));
new PerformanceObserver(look).observe({ type: "paint", buffered: true });
"""


def screen() -> Iterator[Row]:
    """What a browser sees: the first paint, and the first crystal after a click."""
    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (browser and driver):
        yield "in a browser", "not measured: no Chromium with its driver"
        return
    from selenium import webdriver
    from selenium.webdriver.common.by import By

    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as one:
        yield "`crystalfw serve`, until the address is printed", f"{time.monotonic() - one.began:.1f} s"
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader",
                         "--enable-unsafe-swiftshader", "--window-size=1200,1400"):  # fmt: skip
            options.add_argument(argument)
        page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            page.get(one.address)
            paints = []
            for room in ("predict", "solve", "generate", "strings", "runs") * 3:
                page.get(f"{one.home}/{room}")
                paints.append(page.execute_async_script(_PAINT))
            paints = paints[5:]  # the browser's own start is not the page's
            yield (
                f"first paint, median and slowest of {len(paints)} (floor 300 ms)",
                f"{median(paints):.0f} ms, {max(paints):.0f} ms",
            )
            for which in ("first", "second"):
                page.get(f"{one.home}/predict")
                began = time.monotonic()
                page.find_element(By.CSS_SELECTOR, "#form button.primary").click()
                while not page.find_elements(By.CSS_SELECTOR, ".view[data-drawn]") and time.monotonic() - began < SECONDS:
                    time.sleep(0.05)
                yield (
                    f"Predict SrTiO3, {which} click to first crystal drawn (floor 20 s, aim 10 s)",
                    f"{time.monotonic() - began:.1f} s",
                )
        finally:
            page.quit()


def load() -> Iterator[Row]:
    """50 requests at once, 1,000 in a row."""
    body = picture()
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as one:
        for path in ("/predict", "/runs", "/api/v1/jobs"):
            times = [timed(partial(one.ask, path)) for _ in range(20)]
            yield f"{path}, median of 20", f"{1000 * median(times):.0f} ms"
        yield "first picture of a crystal (a process starts)", f"{timed(partial(one.ask, '/api/v1/scene', body)):.1f} s"
        yield "next picture", f"{1000 * timed(partial(one.ask, '/api/v1/scene', body)):.0f} ms"
        began = time.monotonic()
        with ThreadPoolExecutor(50) as pool:
            codes = Counter(code for code, _ in pool.map(lambda _: one.ask("/api/v1/scene", body), range(50)))
        yield "50 pictures at once", f"{codes[200]} answered, {time.monotonic() - began:.1f} s"
        before, began = one.mb(), time.monotonic()
        codes = Counter(one.ask("/api/v1/scene", body)[0] for _ in range(1000))
        yield (
            "1,000 pictures in a row",
            f"{codes[200]} answered, {time.monotonic() - began:.0f} s",
        )
        yield "memory of server + helper, before and after these", f"{megabytes(before)}, {megabytes(one.mb())}"


def uploads() -> Iterator[Row]:
    """1,000 broken files: sent, and counted in the bounded process."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as one:
        one.ask("/api/v1/scene", picture())
        outcomes: Counter[str] = Counter()
        before, began = one.mb(), time.monotonic()
        for file in broken_files(1000, seed=5, large=False):
            code, answer = one.ask(f"/api/v1/uploads/{file.name}", file.content)
            if code == 201:
                code, answer = one.ask(f"/api/v1/uploads/{json.loads(answer)['id']}/crystals")
            content = json.loads(answer)
            kind = (
                "with crystals"
                if content.get("crystals")
                else "all rows set aside"
                if "crystals" in content
                else f"a sentence ({code})"
            )
            outcomes[kind] += 1
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(outcomes.items()))
        yield "1,000 broken uploads", f"{found}; {one.alive()}; {time.monotonic() - began:.0f} s"
        yield "memory of server + helper, before and after these", f"{megabytes(before)}, {megabytes(one.mb())}"


TRAVERSALS = ("/api/v1/runs/../../etc/passwd", "/api/v1/runs/%2e%2e/%2e%2e/etc", "/api/v1/reports/..%2f..%2f..%2fetc/passwd",
              "/static/..%2fapp.py", "/static/%2e%2e/%2e%2e/api.py", "/api/v1/jobs/..%2f..%2fx/log",
              "/api/v1/jobs/x/files/..%2f..%2f..%2fetc%2fpasswd", "/api/v1/models/..%2f..%2fetc",
              "/api/v1/uploads/..%2fx/crystals",
              "/api/v1/runs/%00", "/api/v1/runs//etc/passwd", "/..%2f..%2fetc/passwd")  # fmt: skip


def strangers() -> Iterator[Row]:
    """Paths that lead out, posts from other sites, wrong hosts and tokens."""
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as one:
        answers = [one.ask(path) for path in TRAVERSALS]
        leaked = sum(code == 200 or b"root:" in text for code, text in answers)
        yield f"{len(TRAVERSALS)} paths that lead out of the folders", f"{len(answers) - leaked} refused, {leaked} answered"
        body = b'{"kind": "train", "recipe": "smoke"}'
        codes = [
            one.ask("/api/v1/jobs", body, origin="http://evil.example")[0],
            one.ask("/api/v1/jobs", body, origin="null")[0],
            one.ask("/api/v1/jobs", body, **{"sec-fetch-site": "cross-site"})[0],
            one.ask("/api/v1/jobs", body, host="evil.example")[0],
            one.ask("/api/v1/jobs", body, authorization="Bearer wrong")[0],
            one.ask("/api/v1/jobs", body, authorization="")[0],
        ]
        started = json.loads(one.ask("/api/v1/jobs")[1])
        yield "6 posts of other sites, hosts, tokens", f"answered {', '.join(map(str, codes))}; {len(started)} jobs started"
        code, answer = one.ask("/api/v1/uploads/large.cif", b"x" * (33 * 2**20))
        yield "an upload of 33 MB", f"{code}: {json.loads(answer)['error']}"


def killed() -> Iterator[Row]:
    """The helper process and a running job are killed; the server itself is killed and started again."""
    body = picture()
    with tempfile.TemporaryDirectory() as folder:
        with server(Path(folder)) as one:
            one.ask("/api/v1/scene", body)
            for child in psutil.Process(one.process.pid).children():
                if any("spawn_main" in part for part in child.cmdline()):
                    child.kill()
            codes = [one.ask("/api/v1/scene", body)[0] for _ in range(2)]
            yield "helper process killed, the next two pictures", f"{codes[0]}, {codes[1]}; {one.alive()}"
            job = json.loads(one.ask("/api/v1/jobs", b'{"kind": "train", "recipe": "smoke", "steps": 300}')[1])["id"]
            wait_for(one, job, ("running",))
            while not any(run["steps"] for run in json.loads(one.ask("/api/v1/runs")[1]) if "steps" in run):
                time.sleep(0.2)
            for child in psutil.Process(one.process.pid).children():
                if "run" in child.cmdline():
                    child.kill()
            found = wait_for(one, job, ("failed",))
            one.ask(f"/api/v1/jobs/{job}/resume", b"{}")
            wait_for(one, job, ("running",))
            yield "training killed in the middle, then resumed", f"'{found['message']}'"
            os.kill(one.process.pid, signal.SIGKILL)
            one.process.wait()
        with server(Path(folder)) as two:
            state = json.loads(two.ask(f"/api/v1/jobs/{job}")[1])["state"]
            yield "server killed while it trains: the job at the next start", state
            for process in psutil.process_iter(["cmdline"]):  # what the killed server left running, by its own folder
                if folder in " ".join(process.info["cmdline"] or ()) and process.pid != two.process.pid:
                    process.kill()


def disk() -> Iterator[Row]:
    """A disk of 3 MB that fills up: every answer is a sentence, and once there is room the work goes on."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True).returncode:
            yield "a full disk", "not measured: a file system of 3 MB cannot be mounted here"
            return
        try:
            with server(small / "runs") as one:
                done = one.job({"kind": "predict", "formulas": ["NaCl"], "n": 3})
                code, answer = 201, b""
                while code == 201:
                    code, answer = one.ask("/api/v1/uploads/much.cif", b"x" * 200_000)
                yield "full disk, an upload", f"{code}: {json.loads(answer)['error']}".replace(folder, "…")
                while (small / "filler").stat().st_size < 10**7 if (small / "filler").exists() else True:
                    try:
                        with (small / "filler").open("ab", buffering=0) as file:
                            while file.write(b"x" * 4096):
                                pass
                    except OSError:
                        break
                failed = one.job({"kind": "predict", "formulas": ["KCl"], "n": 3})
                said = failed.get("error") or f"{failed['state']}: {failed['message']}"
                yield "full disk, new work", str(said).replace(folder, "…").replace("\n", " ")[-200:]
                code = one.ask(f"/api/v1/jobs/{done['id']}/crystals")[0]
                yield "full disk, what was there", f"{code}; {one.alive()}"
                (small / "filler").unlink()
                for upload in (small / "runs" / "page" / "uploads").glob("*/much.cif"):
                    upload.unlink()
                yield "room again, new work", str(one.job({"kind": "predict", "formulas": ["KCl"], "n": 3})["state"])
        finally:
            subprocess.run(["umount", str(small)], check=True)


def wait_for(one: Server, job: str, states: tuple[str, ...]) -> dict[str, object]:
    """The job in one of these states."""
    while (found := json.loads(one.ask(f"/api/v1/jobs/{job}")[1]))["state"] not in states:
        if found["state"] == "done":
            raise RuntimeError(f"the job was done before it was {states[0]}")
        time.sleep(0.2)
    return dict(found)


def megabytes(found: tuple[float, float]) -> str:
    return f"{found[0]:.0f} + {found[1]:.0f} MB"


def timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
