"""What the gate costs a request, in one run: the floor, the bare app, ours warm, cold, anonymous and challenged, and repoze.who beside it.

    python benchmarks/passthrough.py            a table for docs/performance.md
    python benchmarks/passthrough.py --fast     fewer samples

The floor is what nobody can go below: find a cookie by hand and compute one HMAC-SHA256.
"""

from __future__ import annotations

import hmac
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)

import pyperf  # noqa: E402
from repoze.who.classifiers import default_challenge_decider, default_request_classifier  # noqa: E402
from repoze.who.middleware import PluggableAuthenticationMiddleware  # noqa: E402
from repoze.who.plugins.auth_tkt import AuthTktCookiePlugin  # noqa: E402

from authy_wsgi import AuthyClient, Login, MemoryLedger, MemoryStore, SecondFactor, environ_key  # noqa: E402
from authy_wsgi.contracts import Proof, User  # noqa: E402
from authy_wsgi.tickets import Pass, digest, short  # noqa: E402

LOGIN = Login("alice", "0123456789abcdef")
OTHERS = 'theme=dark; prefs={"a": [1, 2]}; _ga=GA1.2.1234567890.1234567890; session=0123456789abcdef0123456789abcdef; '
INNER = 100


def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def start_response(_status: str, _headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
    return None


def environ(**more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/members/area/1",
        "QUERY_STRING": "page=2",
        "SERVER_NAME": "site.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "site.example",
        "HTTP_ACCEPT": "text/html",
        "HTTP_COOKIE": OTHERS,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "https",
        "wsgi.multiprocess": False,
        "wsgi.errors": sys.stderr,
        **more,
    }


def second_factor() -> tuple[SecondFactor, Callable[[int], str]]:
    users = MemoryStore()
    user = users.save(User(id="alice", generation="g"))
    gate = SecondFactor(
        app,
        identity=environ_key("site.login"),
        secret="b" * 40,
        users=users,
        ledger=MemoryLedger(),
        single_process=True,
        clients=AuthyClient("k" * 32),
        enrolment="none",
    )
    tickets, epoch, now = gate._tickets, gate.backend.accounts.epoch(user), gate.settings.clock()

    def cookie(number: int) -> str:
        held = Pass(short(digest(str(number))), tickets.holder(LOGIN), epoch, (Proof("sms", now - 60),))
        return f"{OTHERS}__Host-second_factor={tickets.sign('pass', held.payload())}"

    return gate, cookie


def repoze_who() -> tuple[Any, str]:
    plugin = AuthTktCookiePlugin("b" * 40, "second_factor", digest_algo="sha256")
    wrapped = PluggableAuthenticationMiddleware(
        app, [("auth_tkt", plugin)], [("auth_tkt", plugin)], [], [], default_request_classifier, default_challenge_decider
    )
    headers = plugin.remember(environ(), {"repoze.who.userid": "alice"})
    return wrapped, OTHERS + headers[0][1].partition(";")[0]


def calls(wrapped: Any, environs: list[dict[str, Any]]) -> Callable[[int], float]:
    """Time `loops` rounds of INNER requests, each with an environ of its own, made before the clock starts."""

    def timed(loops: int) -> float:
        spent = 0.0
        turn = itertools.cycle(environs)
        for _ in range(loops):
            batch = [dict(next(turn)) for _ in range(INNER)]
            began = pyperf.perf_counter()
            for one in batch:
                wrapped(one, start_response)
            spent += pyperf.perf_counter() - began
        return spent

    return timed


def floor(one: dict[str, Any], _start_response: Any) -> Iterable[bytes]:
    raw = one["HTTP_COOKIE"]
    start = raw.find("__Host-second_factor=")
    value = raw[start + 21 :]
    payload, _, signature = value.rpartition(".")
    hmac.compare_digest(hmac.digest(b"k" * 32, payload.encode(), "sha256"), signature[:32].encode())
    return ()


def main() -> None:
    runner = pyperf.Runner(metadata={"description": "authy_wsgi pass-through"})
    gate, cookie = second_factor()
    who, who_cookie = repoze_who()
    verified = environ(HTTP_COOKIE=cookie(1), **{"site.login": LOGIN})
    # More passes than any memo keeps: each is verified anew.
    many = [environ(HTTP_COOKIE=cookie(number), **{"site.login": LOGIN}) for number in range(12_000)]
    cases: list[tuple[str, Any, list[dict[str, Any]]]] = [
        ("floor", floor, [verified]),
        ("bare app", app, [verified]),
        ("authy_wsgi warm", gate, [verified]),
        ("authy_wsgi cold", gate, many),
        ("authy_wsgi anonymous", gate, [environ()]),
        ("authy_wsgi challenged", gate, [environ(**{"site.login": LOGIN})]),
        ("repoze.who", who, [environ(HTTP_COOKIE=who_cookie)]),
    ]
    results = {}
    for name, wrapped, environs in cases:
        bench = runner.bench_time_func(name, calls(wrapped, environs), inner_loops=INNER)
        if bench is not None and not runner.args.worker:
            results[name] = bench.mean()
    if len(results) == len(cases):
        table(results)


def table(results: dict[str, float]) -> None:
    print("\n| request | time | x floor |\n| --- | ---: | ---: |")
    for name, mean in results.items():
        print(f"| {name} | {mean * 1e6:.2f} us | {mean / results['floor']:.2f} |")


if __name__ == "__main__":
    main()
