"""A site under load: two gunicorn workers with Redis, people signing in beside pages that wait for an approval. `python benchmarks/load.py`

It starts a Redis server, the emulator, a bare JSON app and the site, each in a process of its own on a free port of this machine, and ends them. Printed are
throughput and latency of the waiting page's poll beside the bare app's (same run, same clients, same server settings), then of sign-ins beside waiting pages,
with what the provider was asked and whether anybody was lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

API_KEY = "0123456789abcdef0123456789abcdef"

SITE = """
import json, os
from authy_wsgi import AuthyClient, Login, SecondFactor, SQLStore
from authy_wsgi.ledgers.redis import RedisLedger
from pathlib import Path

HERE = Path(__file__).parent
CALLBACK = {"callback_url": SITE_URL + "/second-factor/callback/authy"} if CALLBACKS else {}

def identity(environ):
    name = environ.get("HTTP_X_USER")  # for this measurement only: whoever sends a request says who they are
    return Login(name, "s") if name else None

def note(event):
    if event.kind == "approved":
        with (HERE / "events").open("a") as file:
            file.write(event.user_id + "\\n")

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"in"]

application = SecondFactor(
    app, identity=identity, secret="load-load-load-load-load-load-load-load", https=False,
    users=SQLStore(f"sqlite:///{HERE}/site.db"), ledger=RedisLedger(REDIS),
    clients=AuthyClient(API_KEY, base_url=EMULATOR, **CALLBACK), enrolment="none", events=note, limits={"send.site": [(100000, 86400)]},
)
"""
BARE = """
import json

def application(environ, start_response):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = json.dumps({"state": "pending"}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""
PROVIDER = """
import json, re, signal, sys
from collections import Counter
from pathlib import Path
from threading import Event
from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.numbering import read_number
from authy_wsgi.emulator.server import Server

port, key, callback, out = int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
emulator = Emulator(key)
kinds, started = Counter(), Event()

def counting(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/counts":
        body = json.dumps(kinds).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
    if path.startswith(("/protected", "/onetouch")):
        kinds[re.sub("/[0-9a-f-]{6,}|/[0-9]+", "", path).rpartition("/json/")[2]] += 1
    return emulator(environ, start_response)

server = Server(counting, port=port)
for number in range(int(sys.argv[5])):
    user = emulator.state.register(read_number("1", f"{2025000000 + number}"), "a@example.com")
    user.phone.installed = True
    user.confirmed = True
emulator.callbacks.url = callback
signal.signal(signal.SIGTERM, lambda *_: started.set())
with server:
    started.wait()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class Answer:
    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """One browser over one kept connection, as thin as it goes: what is measured is the server."""

    def __init__(self, port: int, user: str = "") -> None:
        self.port, self.user = port, user
        self.cookies: dict[str, str] = {}
        self._pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, fields: dict[str, str] | None = None, accept: str = "text/html") -> Answer:
        for attempt in (0, 1):
            try:
                return await self._ask(method, path, fields, accept)
            except (ConnectionError, asyncio.IncompleteReadError):
                self._pipe = None
                if attempt:
                    raise
        raise AssertionError

    async def _ask(self, method: str, path: str, fields: dict[str, str] | None, accept: str) -> Answer:
        if self._pipe is None:
            self._pipe = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._pipe
        body = urlencode(fields).encode() if fields is not None else b""
        cookies = f"Cookie: {'; '.join(f'{name}={value}' for name, value in self.cookies.items())}\r\n" if self.cookies else ""
        form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if fields is not None else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAccept: {accept}\r\nX-User: {self.user}\r\n{cookies}{form}\r\n"
        writer.write(head.encode() + body)
        raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in raw[1:-2])]
        said = dict(headers)
        content = await reader.readexactly(int(said.get("content-length", "0")))
        if said.get("connection", "").lower() == "close":
            writer.close()
            self._pipe = None
        for name, value in headers:
            if name == "set-cookie":
                cookie, _, rest = value.partition("=")
                self.cookies[cookie] = rest.partition(";")[0]
        return Answer(int(raw[0].split()[1]), headers, content)

    def close(self) -> None:
        if self._pipe:
            self._pipe[1].close()


def hidden(page: str, action: str) -> dict[str, str]:
    """The fields of the first form to that page of ours."""
    form = re.search(rf'<form[^>]*action="[^"]*{action}".*?</form>', page, re.DOTALL)
    assert form, f"no form to {action}"
    return {name: value.replace("&amp;", "&") for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form[0])}


async def begin(client: Client, channel: str) -> Answer:
    """From the app's page to the page where a code is typed or an approval awaited."""
    first = await client.ask("GET", "/members")
    page = await client.ask("GET", dict(first.headers)["location"])
    forms = re.findall(r'<form[^>]*action="[^"]*/start".*?</form>', page.text, re.DOTALL)
    form = next(form for form in forms if f'name="channel" value="{channel}"' in form)
    fields = {name: value.replace("&amp;", "&") for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)}
    sent = await client.ask("POST", "/second-factor/start", {**fields, "insist": "1"})
    assert sent.status == 303, (sent.status, sent.text[:300])
    return await client.ask("GET", dict(sent.headers)["location"])


async def sign_in(port: int, provider: int, number: int) -> float:
    """One sign-in by text message; its seconds, the reading of the phone left out."""
    client, phone = Client(port, f"user{number}"), Client(provider)
    began = time.perf_counter()
    page = await begin(client, "sms")
    paused = time.perf_counter()
    code = json.loads((await phone.ask("GET", f"/phone/{1635 + number}.json")).body)["messages"][-1]["code"]
    resumed = time.perf_counter()
    entered = await client.ask("POST", "/second-factor/code", {**hidden(page.text, "/code"), "code": code})
    assert entered.status == 303, entered.text[:300]
    inside = await client.ask("GET", "/members")
    assert inside.body == b"in"
    seconds = time.perf_counter() - began - (resumed - paused)
    client.close()
    phone.close()
    return seconds


class Waiting:
    """A page that waits for an approval."""

    def __init__(self, port: int, number: int) -> None:
        self.client, self.number = Client(port, f"user{number}"), number
        self.fields: dict[str, str] = {}
        self.approved = False

    async def open(self) -> None:
        page = await begin(self.client, "push")
        self.fields = hidden(page.text, "/poll")

    async def poll(self) -> str:
        answer = await self.client.ask("POST", "/second-factor/poll", self.fields, "application/json")
        return str(json.loads(answer.body)["state"])


async def in_groups(jobs: list[Callable[[], Awaitable[object]]], size: int) -> list[object]:
    gate = asyncio.Semaphore(size)

    async def run(job: Callable[[], Awaitable[object]]) -> object:
        async with gate:
            return await job()

    return list(await asyncio.gather(*(run(job) for job in jobs)))


async def saturate(call: Callable[[int], Awaitable[object]], clients: int, seconds: float) -> tuple[float, list[float]]:
    """Calls a second with so many clients that never pause, and the latencies."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def run(number: int) -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            await call(number)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(run(number) for number in range(clients)))
    return len(latencies) / (time.perf_counter() - began), latencies


def told(latencies: list[float]) -> str:
    ordered = sorted(latencies)
    return f"median {1000 * statistics.median(ordered):.0f} ms, 95 % {1000 * ordered[int(0.95 * (len(ordered) - 1))]:.0f} ms, most {1000 * ordered[-1]:.0f} ms"


async def counts(provider: int) -> Counter[str]:
    client = Client(provider)
    answer = await client.ask("GET", "/counts", accept="application/json")
    client.close()
    return Counter(json.loads(answer.body))


async def until_listening(*ports: int) -> None:
    for port in ports:
        for _ in range(400):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        else:
            raise SystemExit(f"nothing listens on port {port}")


async def scene(folder: Path, ports: dict[str, int], *, waiting: int, signing: int, seconds: int, compare: bool) -> None:
    await until_listening(*ports.values())
    site, provider = ports["site"], ports["provider"]
    pages = [Waiting(site, number) for number in range(waiting)]
    await in_groups([page.open for page in pages], 40)
    if compare:
        bare = [Client(ports["bare"], "x") for _ in range(50)]
        fields = pages[0].fields
        bare_rate, bare_times = await saturate(lambda number: bare[number].ask("POST", "/", fields, "application/json"), 50, 5)
        poll_rate, poll_times = await saturate(lambda number: pages[number].poll(), 50, 10)
        print(f"  bare JSON app   {bare_rate:7.0f} a second, {told(bare_times)}")
        print(f"  poll            {poll_rate:7.0f} a second, {told(poll_times)}; {poll_rate / bare_rate:.2f} of the bare app")
    before, began = await counts(provider), time.perf_counter()
    polls: list[float] = []
    answered = asyncio.Event()

    async def wait(page: Waiting, offset: float) -> None:
        await asyncio.sleep(offset)
        while not page.approved and time.perf_counter() < began + seconds + 20:
            asked = time.perf_counter()
            state = await page.poll()
            polls.append(time.perf_counter() - asked)
            if state == "approved":
                page.approved = True
                return
            if answered.is_set() and time.perf_counter() > began + seconds + 19:
                return
            await asyncio.sleep(max(0.0, asked + 1 - time.perf_counter()))

    async def approve() -> None:
        """Half way, one page in five is approved on its phone."""
        await asyncio.sleep(seconds / 2)
        for page in pages[::5]:
            phone = Client(provider)
            uuid = json.loads((await phone.ask("GET", f"/phone/{1635 + page.number}.json")).body)["approvals"][-1]["uuid"]
            done = await phone.ask("POST", f"/phone/{1635 + page.number}/approvals/{uuid}", {"status": "approved"}, "application/json")
            assert done.status == 200, done.text
            phone.close()
        answered.set()

    async def stop_the_rest() -> None:
        await asyncio.sleep(seconds)
        for number, page in enumerate(pages):
            page.approved = page.approved or number % 5 != 0

    async def all_sign_in() -> list[object]:
        await asyncio.sleep(2)
        return await in_groups([lambda number=number: sign_in(site, provider, number) for number in range(waiting, waiting + signing)], signing)  # type: ignore[misc]

    waits = [wait(page, number / max(1, waiting)) for number, page in enumerate(pages)]
    times, *_ = await asyncio.gather(all_sign_in(), approve(), stop_the_rest(), *waits)
    spent = time.perf_counter() - began
    after = await counts(provider)
    events = Counter((folder / "events").read_text().split())
    wanted = {f"user{page.number}" for page in pages[::5]} | {f"user{number}" for number in range(waiting, waiting + signing)}
    print(f"  polls           {len(polls) / spent:7.0f} a second for {spent:.0f} s, {told(polls)}")
    print(f"  sign-ins        {signing} at once, {told([float(str(each)) for each in times])}")
    asked = after["approval_requests"] - before["approval_requests"]
    messages, codes = after["sms"] - before["sms"], after["verify"] - before["verify"]
    print(f"  provider        asked {asked} times about {waiting} approvals in {spent:.0f} s; {messages} messages, {codes} codes checked")
    lost, doubled = wanted - events.keys(), {user for user, count in events.items() if count > 1}
    print(f"  lost {len(lost)}, doubled {len(doubled)}, strangers {len(events.keys() - wanted)}", flush=True)


def run(*, callbacks: bool, waiting: int, signing: int, seconds: int, compare: bool) -> None:
    folder = Path(tempfile.mkdtemp())
    ports = {name: free_port() for name in ("redis", "provider", "site", *(["bare"] if compare else []))}
    names = {
        "API_KEY": API_KEY,
        "REDIS": f"redis://127.0.0.1:{ports['redis']}/0",
        "EMULATOR": f"http://127.0.0.1:{ports['provider']}",
        "SITE_URL": f"http://127.0.0.1:{ports['site']}",
        "CALLBACKS": callbacks,
    }
    (folder / "site_under_load.py").write_text("".join(f"{name} = {value!r}\n" for name, value in names.items()) + SITE)
    (folder / "bare.py").write_text(BARE)
    (folder / "provider.py").write_text(PROVIDER)
    (folder / "events").touch()
    _enrol(folder, waiting + signing)
    callback = f"http://127.0.0.1:{ports['site']}/second-factor/callback/authy" if callbacks else ""
    gunicorn = [sys.executable, "-m", "gunicorn", "--workers", "2", "--threads", "8", "--keep-alive", "75", "--backlog", "2048", "--worker-connections", "2000"]
    commands = [
        [shutil.which("redis-server") or "valkey-server", "--port", str(ports["redis"]), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        [sys.executable, "provider.py", str(ports["provider"]), API_KEY, callback, str(folder / "counts"), str(waiting + signing)],
        [*gunicorn, "--bind", f"127.0.0.1:{ports['site']}", "site_under_load:application"],
    ]
    if compare:
        commands.append([*gunicorn, "--bind", f"127.0.0.1:{ports['bare']}", "bare:application"])
    with ExitStack() as stack, (folder / "log").open("wb") as log:
        for command in commands:
            process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            if len(process.args) and "redis" in str(command[0]):
                time.sleep(0.5)
        try:
            asyncio.run(scene(folder, ports, waiting=waiting, signing=signing, seconds=seconds, compare=compare))
        except BaseException:
            sys.stderr.write((folder / "log").read_text()[-3000:])
            raise
    shutil.rmtree(folder)


def _enrol(folder: Path, count: int) -> None:
    from authy_wsgi import SQLStore
    from authy_wsgi.contracts import Factor, User

    store = SQLStore(f"sqlite:///{folder}/site.db")
    for number in range(count):
        factor = Factor(id=f"f{number}", client="authy", label="+1 ••• ••• 00", added=int(time.time()) - 10_000, data={"authy_id": 1635 + number, "app": "yes"})
        store.save(User(id=f"user{number}", factors=(factor,), generation="g"))
    store.database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--small", action="store_true", help="a tenth of the people, for ten seconds: does it work at all?")
    options = parser.parse_args()
    part, seconds = (10, 10) if options.small else (1, options.seconds)
    print("Callbacks on: 200 sign-ins beside 1,000 waiting pages")
    run(callbacks=True, waiting=1000 // part, signing=200 // part, seconds=seconds, compare=True)
    print("Callbacks off: 50 sign-ins beside 100 waiting pages")
    run(callbacks=False, waiting=100 // part, signing=50 // part, seconds=seconds, compare=False)


if __name__ == "__main__":
    main()
