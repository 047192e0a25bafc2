"""What the emulator bears, in one run: requests a second without and with a socket, and how it carries 10,000 users.

    python benchmarks/emulator.py            tables for docs/performance.md
    python benchmarks/emulator.py --fast     fewer samples

The floor is a WSGI app that answers JSON without looking at anything, on the same server: what is beyond it is ours. Without a socket it is CPU time that is
counted, so that a busy machine does not show; over a socket it is time that passes.
"""

from __future__ import annotations

import gc
import http.client
import io
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)

import psutil  # noqa: E402
import pyperf  # noqa: E402

from authy_wsgi.emulator import Emulator  # noqa: E402
from authy_wsgi.emulator.server import Server  # noqa: E402

KEY = "0123456789abcdef0123456789abcdef"
INNER = 100
THREADS = 8
USERS = 10_000
GROWN = 3  # fresh processes that grow to USERS
STATUS = b'{"message":"Application information.","success":true}'

Timer = Callable[[int], float]


def floor(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json;charset=utf-8"), ("Content-Length", str(len(STATUS)))])
    return [STATUS]


# -- without a socket


def start_response(_status: str, _headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
    return None


def environ(path: str, body: bytes = b"") -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "REQUEST_METHOD": "POST" if body else "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_URI": path + (f"?{query}" if query else ""),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8765",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8765",
        "HTTP_ACCEPT": "*/*",
        "HTTP_X_AUTHY_API_KEY": KEY,
        "CONTENT_TYPE": "application/x-www-form-urlencoded" if body else "",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.errors": sys.stderr,
        "wsgi.input": io.BytesIO(body),
    }


def call(app: Any, path: str, body: bytes = b"") -> Any:
    return json.loads(b"".join(app(environ(path, body), start_response)))


def registration(number: int) -> bytes:
    return f"user[email]=user{number}@example.com&user[cellphone]=201-{number // 10_000 + 200:03d}-{number % 10_000:04d}&user[country_code]=1".encode()


def peopled(users: int = INNER) -> Emulator:
    emulator = Emulator(KEY, seed=1)
    for number in range(users):
        call(emulator, "/protected/json/users/new", registration(number))
    return emulator


def timed(batches: Iterator[tuple[Any, list[dict[str, Any]]]]) -> Timer:
    """Time the requests of as many batches as are wanted; each is made before its clock starts."""

    def run(loops: int) -> float:
        spent = 0.0
        for app, batch in itertools.islice(batches, loops):
            began = time.process_time()
            for one in batch:
                b"".join(app(one, start_response))
            spent += time.process_time() - began
        return spent

    return run


def the_same(app: Any, path: str) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    while True:
        yield app, [environ(path) for _ in range(INNER)]


def new_users() -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    while True:
        emulator = peopled(1)
        for start in range(1, 1001, INNER):
            yield emulator, [environ("/protected/json/users/new", registration(start + number)) for number in range(INNER)]


def texts() -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    emulator = peopled()
    while True:
        yield emulator, [environ(f"/protected/json/sms/{1635 + number}?force=true") for number in range(INNER)]


def right_codes() -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    emulator = peopled()
    while True:
        for number in range(INNER):
            call(emulator, f"/protected/json/sms/{1635 + number}?force=true")
        emulator.calls.clear()
        yield emulator, [environ(f"/protected/json/verify/{emulator.phone(1635 + number).code}/{1635 + number}?force=true") for number in range(INNER)]


def approvals() -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    emulator = peopled(1)
    emulator.phone(1635).install_app()
    uuid = call(emulator, "/onetouch/json/users/1635/approval_requests", b"message=Log in?&details[Account]=981266321")["approval_request"]["uuid"]
    yield from the_same(emulator, f"/onetouch/json/approval_requests/{uuid}")


# -- over a socket: the server in a process of its own; it closes the connection after each answer, as Werkzeug's does


def serve(which: str) -> None:
    app: Any = floor
    if which == "emulator":
        app = peopled(1)
    with Server(app) as server:
        print(server.url, flush=True)
        sys.stdin.read()


class Clients:
    """So many clients of a server, each in a thread of its own."""

    def __init__(self, which: str, threads: int) -> None:
        self._process = subprocess.Popen([sys.executable, __file__, "--serve", which], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        where = urlsplit(self._process.stdout.readline().strip())
        self._connections = [http.client.HTTPConnection(str(where.hostname), where.port, timeout=30) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads)

    def ask(self, connection: http.client.HTTPConnection, times: int) -> None:
        for _ in range(times):
            connection.request("GET", "/protected/json/users/1635/status", headers={"X-Authy-API-Key": KEY})
            with connection.getresponse() as answer:
                answer.read()
                assert answer.status == 200

    def run(self, loops: int) -> float:
        began = pyperf.perf_counter()
        times = loops * INNER // len(self._connections)
        list(self._pool.map(self.ask, self._connections, [times] * len(self._connections)))
        return (pyperf.perf_counter() - began) * (loops * INNER) / (times * len(self._connections))

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._pool.shutdown()
        self._process.communicate("")

    def server_time(self, loops: int) -> float:
        """The CPU time of the server for one request: what the machine does beside does not show in it."""
        server = psutil.Process(self._process.pid)
        self.run(1)
        before = server.cpu_times()
        self.run(loops)
        after = server.cpu_times()
        return (after.user + after.system - before.user - before.system) / (loops * INNER)


def over_a_socket(which: str, threads: int) -> Timer:
    clients: list[Clients] = []

    def run(loops: int) -> float:
        if not clients:
            clients.append(Clients(which, threads))
        return clients[0].run(loops)

    return run


# -- 10,000 users, in a fresh process


def grow(trace: bool) -> None:
    """Register them, send each a message, save and load, and look at the page: figures as JSON."""
    figures: dict[str, float] = {}
    emulator = peopled(1)
    call(emulator, "/protected/json/sms/1635")
    page(emulator, "/phone/")
    gc.collect()
    if trace:
        tracemalloc.start()
    before = psutil.Process().memory_info().rss
    spent = []
    for number in range(1, USERS):
        asked = environ("/protected/json/users/new", registration(number))
        began = time.process_time()
        b"".join(emulator(asked, start_response))
        spent.append(time.process_time() - began)
    for authy_id in range(1636, 1635 + USERS):
        call(emulator, f"/protected/json/sms/{authy_id}")
    assert len(emulator.state.users) == USERS
    gc.collect()
    if trace:
        figures["traced"] = tracemalloc.get_traced_memory()[0]
        emulator.calls.clear()
        gc.collect()
        figures["traced_state"] = tracemalloc.get_traced_memory()[0]
        print(json.dumps(figures))
        return
    figures["rss"] = psutil.Process().memory_info().rss - before
    figures["first"], figures["last"] = sum(spent[:1000]), sum(spent[-1000:])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.json"
        figures["save"] = took(lambda: emulator.save(path))
        figures["size"] = path.stat().st_size
        figures["load"] = took(lambda: Emulator(KEY).load(path))
    for name, where in (
        ("overview", "/phone/"),
        ("phone", "/phone/1635"),
        ("sms", "/protected/json/sms/1700"),
        ("status", "/protected/json/users/1700/status"),
    ):
        figures[name] = min(took(lambda where=where: page(emulator, where)) for _ in range(5))
    figures["overview_size"] = page(emulator, "/phone/")
    print(json.dumps(figures))


def page(emulator: Emulator, path: str) -> int:
    return len(b"".join(emulator(environ(path), start_response)))


def took(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def grown(how: str) -> dict[str, float]:
    figures: dict[str, float] = json.loads(subprocess.check_output([sys.executable, __file__, how], text=True))
    return figures


# -- tables


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        return serve(sys.argv[2])
    if sys.argv[1:] in (["--grow"], ["--trace"]):
        return grow(sys.argv[1] == "--trace")
    runner = pyperf.Runner(metadata={"description": "authy_wsgi emulator"})
    cases: dict[str, Callable[[], Timer]] = {
        "bare app": lambda: timed(the_same(floor, "/x")),
        "users/new": lambda: timed(new_users()),
        "sms": lambda: timed(texts()),
        "verify": lambda: timed(right_codes()),
        "approval status": lambda: timed(approvals()),
        **{
            f"{which}, {'one client' if threads == 1 else f'{threads} clients'}": lambda which=which, threads=threads: over_a_socket(which, threads)
            for threads in (1, THREADS)
            for which in ("bare app", "emulator")
        },
    }
    medians: dict[str, float] = {}
    for name, make in cases.items():
        bench = runner.bench_time_func(name, lazily(make), inner_loops=INNER)
        if bench is not None and not runner.args.worker:
            medians[name] = bench.median()
    if len(medians) == len(cases):
        rates(medians)
        growth([grown("--grow") for _ in range(GROWN)], grown("--trace"))
    return None


def lazily(make: Callable[[], Timer]) -> Timer:
    """Made in the process that measures it, and only there."""
    made: list[Timer] = []

    def run(loops: int) -> float:
        if not made:
            made.append(make())
        return made[0](loops)

    return run


def rates(medians: dict[str, float]) -> None:
    print("\n| request | time | a second | x bare app |\n| --- | ---: | ---: | ---: |")
    for name, median in medians.items():
        _, comma, clients = name.partition(", ")
        ratio = f"{median / medians[f'bare app, {clients}']:.2f}" if comma else ""
        print(f"| {name} | {median * 1e6:.1f} us | {1 / median:,.0f} | {ratio} |")
    print("\n| CPU time of the server, a request | one client | 8 clients |\n| --- | ---: | ---: |")
    for which in ("bare app", "emulator"):
        spent = [server_time(which, threads) for threads in (1, THREADS)]
        print(f"| {which} | {spent[0] * 1e6:.0f} us | {spent[1] * 1e6:.0f} us |")


def server_time(which: str, threads: int) -> float:
    clients = Clients(which, threads)
    try:
        return clients.server_time(20)
    finally:
        clients.close()


def growth(runs: list[dict[str, float]], traced: dict[str, float]) -> None:
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    ratios = sorted(run["last"] / run["first"] for run in runs)
    mib = 1024 * 1024
    print(f"\n| with {USERS:,} users, a message each | |\n| --- | ---: |")
    print(f"| registering the first 1,000 | {middle['first'] * 1e3:.0f} ms |")
    print(f"| registering the last 1,000 | {middle['last'] * 1e3:.0f} ms |")
    print(f"| the last by the first | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")
    print(f"| memory (resident) | {middle['rss'] / mib:.1f} MiB |")
    print(f"| of it objects | {traced['traced'] / mib:.1f} MiB |")
    print(f"| of it the state, without recorded calls | {traced['traced_state'] / mib:.1f} MiB |")
    print(f"| saving | {middle['save']:.2f} s |")
    print(f"| the file | {middle['size'] / mib:.1f} MiB |")
    print(f"| loading | {middle['load']:.2f} s |")
    print(f"| the page of all phones | {middle['overview'] * 1e3:.1f} ms, {middle['overview_size'] / 1024:.0f} KiB |")
    print(f"| the page of one phone | {middle['phone'] * 1e3:.2f} ms |")
    print(f"| sms; users/status | {middle['sms'] * 1e6:.0f} us; {middle['status'] * 1e6:.0f} us |")


if __name__ == "__main__":
    main()
