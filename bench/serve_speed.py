"""What HTTP costs, and whether memory stays flat: wrk posts parts to `amiss serve` on the loopback.

    python bench/serve_speed.py                       throughput against `amiss inspect`, patchcore, 256 x 256
    python bench/serve_speed.py --flood 100000        so many toy parts; memory and the record afterwards

Throughput is images per second of `amiss inspect` on a folder of the same images, a run over one image taken off,
against verdicts per second of the server, in turns; by the clock nothing is said when the machine was not alone. CPU
time of the server with its children is what the kernel counts for them, wrk left out, against that of `amiss inspect`.
wrk must be installed (Debian's package). Results go to docs/results/serve_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from station_speed import LEARN, timed, write_parts

from amiss import fit
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.testing import toy_part, write_images

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "serve_speed.json"
CLIENTS = 8

SCRIPT = """
local files = {}
for name in io.popen("ls FOLDER/*"):lines() do
  local file = io.open(name, "rb"); files[#files + 1] = file:read("*a"); file:close()
end
local number = 0
wrk.method = "POST"
wrk.headers["Host"] = "localhost"
request = function()
  number = number + 1
  wrk.body = files[number % #files + 1]
  return wrk.format(nil, "/api/v1/parts?recipe=part")
end
"""


class Server:
    """`amiss serve` of one recipe, in a folder."""

    def __init__(self, folder: Path) -> None:
        (folder / "amiss.toml").write_text(
            '[station]\ndeadline_ms = 60000\n[store]\nkeep = "good=0h,anomalous=0h,review=0h"\n[http]\nport = 0\n'
            '[audit]\nrate = 0.0\n[recipe.part]\nartefact = "part.amiss"\n'
        )
        command = [sys.executable, "-m", "amiss.cli", "serve", "amiss.toml"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        found = re.search(r"localhost:(\d+)", self.process.stdout.readline() if self.process.stdout else "")
        if found is None:
            raise SystemExit("the server does not begin")
        self.port = int(found[1])

    def flood(self, folder: Path, seconds: int) -> None:
        """Post for so long, from several connections."""
        script = folder.parent / "post.lua"
        script.write_text(SCRIPT.replace("FOLDER", str(folder)))
        words = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "30s", "-s", script]
        subprocess.run([*words, f"http://127.0.0.1:{self.port}"], check=True, stdout=subprocess.DEVNULL)

    def rss_mb(self) -> float:
        """Memory of the process."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]

    def cpu(self) -> float:
        """CPU seconds of the process and its children so far, as the kernel counts them."""
        tree, seconds = [self.process.pid], 0.0
        for pid in tree:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                tree += [int(child) for child in (thread / "children").read_text().split()]
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # where it has not ended yet
        self.process.wait()

    def stop(self) -> int:
        """The usual end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


def judged(folder: Path) -> int:
    """Verdicts in the record, which must be sound."""
    store = Store.open(folder / "store")
    with store.reading() as engine:
        reader = Reader(engine, store)
        if verify(reader).faults:
            raise SystemExit("the record is not sound")
        return sum(row["parts"] for row in reader.counts())


def throughput(folder: Path, images: int, seconds: int) -> dict[str, Any]:
    """Verdicts per second over images per second."""
    write_parts(folder / "learn", 60, 1)
    write_parts(folder / "parts", images, 2)
    (folder / "one").mkdir()
    shutil.copy(next((folder / "parts").iterdir()), folder / "one")
    subprocess.run([sys.executable, "-c", LEARN, folder / "learn", folder / "part.amiss"], check=True)
    model, rounds, cpu = folder / "part.amiss", [], []
    for number in range(3):
        alone, used_alone = timed("inspect", model, folder / "one")
        whole, used = timed("inspect", model, folder / "parts")
        plain, one = images / (whole - alone), (used - used_alone) / images
        place = folder / f"serve{number}"
        place.mkdir()
        shutil.copy(model, place)
        with Server(place) as server:
            server.flood(folder / "parts", 5)  # warm
            began, before, spent = time.monotonic(), server_count(server), server.cpu()
            server.flood(folder / "parts", seconds)
            count = server_count(server) - before
            rounds.append(count / (time.monotonic() - began) / plain)
            cpu.append((one, (server.cpu() - spent) / count))
            server.stop()
    quiet = os.getloadavg()[0] < os.cpu_count() + 1.5  # type: ignore[operator]
    return {
        "images": images,
        "share_of_inspect": sorted(rounds) if quiet else None,
        "share_of_inspect_by_cpu": sorted(round(plain / served, 3) for plain, served in cpu),
        "cpu_ms_per_part": {
            "inspect": round(1000 * min(plain for plain, _ in cpu), 2),
            "serve": round(1000 * min(served for _, served in cpu), 2),
        },
        "load_average": os.getloadavg()[0],
    }


def server_count(server: Server) -> int:
    """Verdicts so far, by the server's own word."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/v1/status", timeout=10) as answer:
        counts = json.load(answer)["counts"]
    return sum(counts[label] for label in ("good", "review", "anomalous", "error"))


def flood(folder: Path, count: int) -> dict[str, Any]:
    """Memory while toy parts are judged, a tenth of them at a time."""
    fit(toy_part(60, seed=0).images, method="padim", preset="tiny", size=64, calibration=0.5).save(
        folder / "part.amiss"
    )
    write_images(folder / "parts", toy_part(40, seed=2).images)
    memory: list[float] = []
    with Server(folder) as server:
        began = time.monotonic()
        while (done := server_count(server)) < count:
            if done >= len(memory) * count / 10:
                memory.append(round(server.rss_mb(), 1))
            server.flood(folder / "parts", 5)
        seconds, told = time.monotonic() - began, server_count(server)
        code = server.stop()
    return {
        "requests": told,
        "in_the_record": judged(folder),
        "exit_code": code,
        "rss_mb": memory,
        "per_second": round(told / seconds, 1),
    }


def main() -> None:
    """Measure, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--flood", type=int, default=0)
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(prefix="amiss-speed-") as scratch:
        if asked.flood:
            kept["flood"] = flood(Path(scratch), asked.flood)
        else:
            kept["throughput"] = throughput(Path(scratch), asked.images, asked.seconds)
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")
    print(json.dumps(kept, indent=2))


if __name__ == "__main__":
    main()
