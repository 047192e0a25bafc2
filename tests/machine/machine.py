"""The machine: what adversary, honest users, administrators and bad luck do, in any order. Everything is drawn by small numbers, so that a failure shrinks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from authy_wsgi import Login
from tests.machine import marks
from tests.machine.browser import Browser, Form, Page, is_ours
from tests.machine.oracle import Oracle, Violation
from tests.machine.world import ATTEMPT, CALLBACK, FACTORS, FORGET, LOGOUT, PASS, PEOPLE, PHONES, PREFIX, SECRETS, SITE, VIEWS, Mishap, Options, Seen, World

GOALS = ("/members", "/pay", "/admin/users", "/vault", "/soft", "/static/style.css", *VIEWS, "/members?x=1&y=%C3%A9")
OURS = ("/", "/code", "/push", "/continue", "/enrol", "/logout", "/kept", "/start", "/poll", "/static/style.css", "/nothing")
ODD_PATHS = (
    "/static/../members",
    "/static/..%2fpay",
    "/static%2f..%2fmembers",
    "/static;x/../admin",
    "//static/x",
    "/static//x",
    "/static\\..\\admin",
    "/Static/x",
    "/PAY",
    "/pay/",
    "/pay%00",
    "/pay;jsessionid=1",
    "/p%61y",
    "/%2570ay",
    "/./vault",
    "/staticx",
    "/second-factor",
    "/second-factor/../members",
    "/second-factorx",
    "/Second-Factor/",
    "/second-factor%2f",
    "/site-logout/",
    "/SITE-LOGOUT",
    "/members%2e",
    "/\u00e9",
    "",
    "*",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "CONNECT")
ODD_HEADERS: tuple[dict[str, str], ...] = (
    {"Authy-Wsgi-Proven": "alice"},
    {"Remote-User": "alice", "X-Remote-User": "alice"},
    {"X-Original-URL": "/static/x", "X-Rewrite-URL": "/static/x"},
    {"X-HTTP-Method-Override": "GET", "X-Forwarded-Proto": "http"},
    {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "evil.example"},
    {"Host": "evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Accept": "application/json"},
    {"Upgrade": "websocket", "Connection": "Upgrade"},
    {"Sec-Fetch-Mode": "navigate"},
)
CODES = ("right", "newest", "app", "old", "wrong", "malformed", "another's")
CHANNELS = ("sms", "call", "app", "push")
WAITS = (1, 2, 5, 14, 16, 29, 31, 59, 61, 89, 91, 121, 151, 299, 599, 601, 899, 901, 3601, 43_201, 86_401, 31 * 86_400)
ODD_LOGINS: tuple[Any, ...] = (
    "",
    " ",
    5,
    True,
    ("alice",),
    ("alice", 5),
    b"alice",
    ["alice"],
    "x" * 300,
    "al\nice",
    ValueError("broken"),
    "ALICE",
    Login("", "s"),
)

small = st.integers(0, 3)
worker_numbers = st.integers(0, 2)
browser_numbers = st.integers(0, 3)
people = st.sampled_from(PEOPLE)
orders = st.lists(st.integers(0, 2), max_size=60)
mishaps = st.builds(
    Mishap, kind=st.sampled_from(("killed", "raised", "broken", "stalled", "lied")), late=st.booleans(), seconds=st.sampled_from((1, 16, 31, 61, 130, 601, 4))
)
places = st.sampled_from(
    (
        *("store.get", "store.save", "ledger.spend", "ledger.give_back", "ledger.get", "ledger.pop"),
        *(f"ledger.claim:{kind}" for kind in ("attempt", "used", "grant", "answer", "challenge", "inflight", "trying")),
        *(f"ledger.put:{kind}" for kind in ("attempt-now", "granted", "pause", "kept", "last-push")),
    )
)
troubles = st.builds(
    Mishap, kind=st.sampled_from(("lied", "lied", "lied", "raised", "broken", "killed", "stalled")), late=st.booleans(), seconds=st.integers(0, 130)
)
mishap_plans = st.one_of(
    st.builds(lambda trouble: {"provider": trouble}, troubles),
    st.dictionaries(places, mishaps, min_size=1, max_size=2),
    st.dictionaries(st.integers(0, 25), mishaps, min_size=1, max_size=2),
)
plans = st.one_of(st.just({}), mishap_plans)
answers = st.sampled_from(("approve", "approve", "approve", "deny", "nothing"))
Plan = Mapping[int | str, Mishap]


class Machine(RuleBasedStateMachine):
    """One run. `totals` is what all runs of this process have seen."""

    totals: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world: World
        self.failed = False
        self.sessions = 0
        self.stolen: list[tuple[str, str]] = []  # cookie values that the adversary has seen

    @initialize(
        enrolment=st.sampled_from(("open", "known", "invited")),
        callbacks=st.booleans(),
        burns=st.booleans(),
        tight=st.booleans(),
        skew=st.booleans(),
        idle=st.sampled_from((False, False, False, True)),
        apps=st.integers(0, 3),
        fourth=st.sampled_from(("carol", "carol", "dave")),
    )
    def begin(self, enrolment: str, *, callbacks: bool, burns: bool, tight: bool, skew: bool, idle: bool, apps: int, fourth: str) -> None:
        self.world = World(Options(enrolment=enrolment, callbacks=callbacks, burns=burns, tight=tight, skew=skew, idle=idle))
        self.oracle = Oracle(self.world)
        self.browsers = [Browser(self.world, number) for number in range(4)]
        for number, user_id in enumerate(("alice", "bob")):
            self.world.give_phone(user_id)
            if apps & (number + 1):
                self.world.emulator.phone(PHONES[user_id]).install_app()
        if fourth == "dave":
            self.world.give_phone("dave")  # the same one as alice's
        for browser, user_id in zip(self.browsers, ("alice", "alice", "bob", fourth), strict=True):
            browser.login = self._fresh(user_id)

    # Helpers

    def _somebody(self, number: int) -> Browser:
        """That browser, with somebody in it."""
        here = self.browsers[number]
        if here.login is None:
            here.login = self._fresh(PEOPLE[number % len(PEOPLE)])
        return here

    def _fresh(self, user_id: str) -> Login:
        self.sessions += 1
        return Login(user_id, f"session {self.sessions}")

    def _count(self, what: str) -> None:
        self.totals[f"rule {what}"] += 1
        self.totals["steps"] += 1

    def _judge(self, *requests: Seen) -> None:
        try:
            self.oracle.judge(*requests)
        except Exception:
            self._tell()
            raise
        for seen in requests:
            for name, value, gone in seen.set_cookies:
                if not gone:
                    self.stolen = [*self.stolen[-40:], (name, value)]
            for _order, mishap in seen.met:
                self.oracle.counts[f"mishap {mishap.kind}{' late' if mishap.late else ''}"] += 1

    def _tell(self) -> None:
        """Note what led here, for whoever reads the failure."""
        self.failed = True
        for each in self.world.requests[-16:]:
            calls = [f"{call.kind}:{call.status}" for call in each.asked]
            wrote = [f"{write.op} {write.kind}{'' if write.mine else ' (not mine)'}" for write in each.writes]
            worker = each.worker.number if each.worker else "-"
            note(f"  {each} at {each.began} by worker {worker} -> {each.status} {each.location[:40]} entries={len(each.entries)}")
            note(f"      asked={calls} wrote={wrote} saves={len(each.saves)} met={[str(mishap) for _, mishap in each.met]}")

    def _get(self, browser: Browser, target: str, **more: Any) -> Page:
        page = browser.get(target, **more)
        self._judge(page.seen)
        return page

    def _press(self, browser: Browser, page: Page, form: Form, **more: Any) -> Page:
        after = browser.press(page, form, **more)
        self._judge(after.seen)
        return after

    def _number(self, user_id: str) -> str:
        return PHONES[user_id]

    def _code(self, browser: Browser, page: Page, which: str) -> str:
        """What somebody types. "right" is what the page asks for, off the phone of whoever is there."""
        user_id = browser.login.user_id if browser.login else "alice"
        if which == "another's":
            user_id = PEOPLE[(PEOPLE.index(user_id) + 1) % len(PEOPLE)]
        try:
            phone = self.world.emulator.phone(self._number(user_id))
        except LookupError:
            return "1111111"
        codes = [message.code for message in phone.messages if message.code]
        again = page.form("/start", **{"from": "code"})
        by_message = again is not None and "insist" not in again.fields and again.fields.get("channel") in ("sms", "call")
        if which == "app" or (which == "right" and not by_message):
            return phone.app_code or "2222222"
        if which == "wrong" or not codes:
            return "3333333"
        if which == "malformed":
            return "12 34"
        return codes[0] if which == "old" else codes[-1]

    def _natural(self, browser: Browser, channel: str, goal: str, worker: int = 0, answer: str = "approve", **more: Any) -> Page:
        """What a person does next, to get where they want to go."""
        page = browser.page
        if page is None:
            return self._get(browser, goal, worker=worker)
        if page.seen.status == 303:
            return self._get(browser, page.seen.location, worker=worker)
        if form := next((form for form in page.forms if form.pressed), None):
            return self._press(browser, page, form, worker=worker, **more)
        if form := page.form("/code"):
            return self._press(browser, page, form, worker=worker, code=self._code(browser, page, "right"), **more)
        if form := page.form("/poll"):
            return self._wait_for_phone(browser, page, form, worker, answer, **more)
        if form := page.form("/enrol"):
            user_id = browser.login.user_id if browser.login else "carol"
            filled = {"phone": self._number(user_id), "country": "US"} if "phone" in form.fields else {}
            return self._press(browser, page, form, worker=worker, **filled, **more)
        if browser.login and "takes an invitation" in page.seen.text:
            return self._get(browser, f"{PREFIX}/enrol?invite={self._invite(browser.login.user_id, worker)}", worker=worker)
        if form := page.form("/start", channel=channel) or page.form("/start"):
            return self._press(browser, page, form, worker=worker, **more)
        return self._get(browser, next((link for link in page.links if is_ours(link) and "/static/" not in link), goal), worker=worker)

    def _wait_for_phone(self, browser: Browser, page: Page, form: Form, worker: int, answer: str, **more: Any) -> Page:
        user_id = browser.login.user_id if browser.login else "alice"
        with suppress(LookupError):
            if answer != "nothing":
                getattr(self.world.emulator.phone(self._number(user_id)), answer)()
        self.world.now += 10 if self.world.options.callbacks else 1
        after = self._press(browser, page, form, worker=worker, **more)
        said = json.loads(after.seen.text) if after.seen.text.startswith("{") else {}
        if "url" in said:
            return self._get(browser, said["url"], worker=worker)
        if said.get("state") == "pending" and answer == "nothing":
            browser.page = None
        return after

    # Honest people

    @rule(browser=browser_numbers, worker=worker_numbers, goal=st.sampled_from(GOALS))
    def goes(self, browser: int, worker: int, goal: str) -> None:
        self._count("goes")
        self._get(self.browsers[browser], goal, worker=worker)

    @rule(browser=browser_numbers, worker=worker_numbers, page=st.sampled_from(OURS))
    def goes_to_one_of_our_pages(self, browser: int, worker: int, page: str) -> None:
        self._count("goes to one of our pages")
        self._get(self.browsers[browser], PREFIX + page, worker=worker)

    @rule(
        browser=browser_numbers,
        worker=worker_numbers,
        channel=st.sampled_from(CHANNELS),
        goal=st.sampled_from(GOALS),
        steps=st.integers(1, 10),
        answer=answers,
    )
    def goes_on(self, browser: int, worker: int, channel: str, goal: str, steps: int, answer: str) -> None:
        """A person goes on from where they are."""
        self._count("goes on")
        for _ in range(steps):
            page = self._natural(self._somebody(browser), channel, goal, worker, answer)
            if page.in_app:
                break

    @rule(browser=browser_numbers, channel=st.sampled_from(CHANNELS), goal=st.sampled_from(GOALS), workers=st.lists(worker_numbers, min_size=10, max_size=10))
    def signs_in(self, browser: int, channel: str, goal: str, workers: list[int]) -> None:
        """From the goal to the goal, a worker at a time."""
        self._count("signs in")
        here = self._somebody(browser)
        here.page = None
        for worker in workers:
            page = self._natural(here, channel, goal, worker)
            if page.in_app:
                self.oracle.counts["whole sign-ins"] += 1
                break

    @rule(
        browser=browser_numbers,
        channel=st.sampled_from(CHANNELS),
        workers=st.lists(worker_numbers, min_size=10, max_size=10),
        plan=mishap_plans,
        when=st.integers(0, 6),
    )
    def signs_in_while_things_break(self, browser: int, channel: str, workers: list[int], plan: Plan, when: int) -> None:
        """The same with one request that something happens to; the person goes on as well as they can."""
        self._count("signs in while things break")
        here = self._somebody(browser)
        here.page = None
        for number, worker in enumerate(workers):
            if self._natural(here, channel, "/members", worker, **({"plan": plan} if number == when else {})).in_app:
                break

    @rule(
        browser=browser_numbers,
        worker=worker_numbers,
        told=st.booleans(),
        then=st.lists(st.sampled_from(("poll", "look", "code", "push", "other browser", "callback says yes", "wait")), max_size=4),
    )
    def is_denied(self, browser: int, worker: int, *, told: bool, then: list[str]) -> None:
        """Somebody has the password and asks the owner's phone; the owner presses Deny. Whatever is tried then is tried in vain."""
        self._count("is denied")
        here = self._somebody(browser)
        found = self._up_to_the_answer(here, "push", worker, answer="deny")
        if found is None or found[2] or here.login is None:
            return
        page, form, _ = found
        if told and self.oracle.pushes:
            self._call_back(list(self.oracle.pushes)[-1], "denied", worker)
        for what in then:
            if what == "poll":
                self._press(here, page, form, worker=worker)
            elif what == "look":
                self._get(here, f"{PREFIX}/push", worker=worker)
            elif what == "wait":
                self.world.now += 11
            elif what == "callback says yes" and self.oracle.pushes:
                self._call_back(list(self.oracle.pushes)[-1], "approved", worker)
            elif what in ("code", "push"):
                self._goes_on_in_it(here, "app" if what == "code" else "push", worker)
            elif what == "other browser":
                other = Browser(self.world, 7)
                other.login = self._fresh(here.login.user_id)
                self._goes_on_in_it(other, "push", worker)

    def _goes_on_in_it(self, here: Browser, channel: str, worker: int) -> None:
        """Once more to the choice of ways, with the attempt that there is."""
        page = self._get(here, f"{PREFIX}/", worker=worker)
        form = page.form("/start", channel=channel)
        if form is None:
            return
        page = self._press(here, page, form, worker=worker)
        if page.seen.status == 303:
            page = self._get(here, page.seen.location, worker=worker)
        if form := page.form("/code"):
            self._press(here, page, form, worker=worker, code=self._code(here, page, "right"))

    @rule(browser=browser_numbers, user_id=st.sampled_from((*PEOPLE, *PEOPLE, None)), fresh=st.booleans())
    def logs_in(self, browser: int, user_id: str | None, *, fresh: bool) -> None:
        """The site's own login: with a password, stolen or not, or back in the login of another browser; or out of it, without our noticing."""
        self._count("logs in")
        if user_id is None:
            self.browsers[browser].login = None
            return
        others = [each.login for each in self.browsers if each.login and each.login.user_id == user_id]
        self.browsers[browser].login = others[0] if others and not fresh else self._fresh(user_id)

    @rule(browser=browser_numbers, worker=worker_numbers, where=st.sampled_from((LOGOUT, FORGET, "page")), plan=plans)
    def logs_out(self, browser: int, worker: int, where: str, plan: Plan) -> None:
        self._count("logs out")
        here = self.browsers[browser]
        if where != "page":
            self._get(here, where, worker=worker, plan=plan)
            return
        page = self._get(here, f"{PREFIX}/logout", worker=worker)
        if form := page.form("/logout"):
            self._press(here, page, form, worker=worker, plan=plan)

    @rule(user_id=people, what=st.sampled_from(("approve", "deny", "install_app", "remove_app")), told=st.booleans())
    def answers_the_phone(self, user_id: str, what: str, *, told: bool) -> None:
        self._count(f"phone: {what}")
        try:
            phone = self.world.emulator.phone(self._number(user_id))
            pending = [each["uuid"] for each in phone.approvals if each["status"] == "pending"]
            getattr(phone, what)()
        except LookupError:
            return
        if told and pending and what in ("approve", "deny"):
            self._call_back(pending[-1], "approved" if what == "approve" else "denied", 0)

    @rule(seconds=st.sampled_from(WAITS))
    def time_passes(self, seconds: int) -> None:
        self._count("time passes")
        self.world.now += seconds

    @rule(browser=browser_numbers, worker=worker_numbers, goal=st.sampled_from(("/members", "/pay", "/view/any", "/view/fresh")), value=small)
    def sends_a_form(self, browser: int, worker: int, goal: str, value: int) -> None:
        self._count("sends a form")
        page = self.browsers[browser].post(goal, {"amount": f"{browser}{value}"}, worker=worker)
        self._judge(page.seen)

    # Anybody at all

    @rule(
        browser=browser_numbers,
        worker=worker_numbers,
        tab=small,
        form=st.integers(0, 5),
        code=st.sampled_from(CODES),
        plan=plans,
        lost=st.booleans(),
        meddles=st.sampled_from(("", "", "", "channel", "factor", "next", "csrf", "uuid", "of")),
    )
    def presses(self, browser: int, worker: int, tab: int, form: int, code: str, plan: Plan, *, lost: bool, meddles: str) -> None:
        """Any button on any page that is still open, old ones included; things go wrong, answers get lost, fields are made up."""
        self._count("presses")
        seen = self._ready_press(self.browsers[browser], worker, tab, form, code, plan, meddles)
        if seen is not None:
            self.world.send(seen)
            self.browsers[browser].take(seen, seen.path, lost=lost)
            self._judge(seen)

    def _ready_press(self, here: Browser, worker: int, tab: int, form: int, code: str, plan: Plan | None = None, meddles: str = "") -> Seen | None:
        if not here.tabs:
            return None
        page = here.tabs[-1 - tab % len(here.tabs)]
        chosen = page.forms[form % len(page.forms)]
        fields: dict[str, str] = {}
        if chosen.action.endswith("/code"):
            fields["code"] = self._code(here, page, code)
        if chosen.action.endswith("/enrol"):
            fields |= {"phone": PHONES[PEOPLE[form % len(PEOPLE)]], "country": "US"}
        if meddles:
            made_up = {"channel": CHANNELS[tab % 4], "factor": f"phone of {PEOPLE[tab % 4]}", "next": "x.y", "csrf": "", "uuid": "1", "of": "x"}
            fields[meddles] = made_up[meddles]
        return here.pressing(page, chosen, worker=worker, plan=plan, **fields)

    @rule(
        browsers=st.lists(browser_numbers, min_size=2, max_size=3),
        workers=st.lists(worker_numbers, min_size=3, max_size=3),
        tabs=st.lists(small, min_size=3, max_size=3),
        forms=st.lists(st.integers(0, 5), min_size=3, max_size=3),
        kinds=st.lists(st.sampled_from(("press", "press", "press", "go", "same")), min_size=3, max_size=3),
        codes=st.lists(st.sampled_from(CODES), min_size=3, max_size=3),
        plan=plans,
        order=orders,
    )
    def all_at_once(
        self,
        browsers: list[int],
        workers: list[int],
        tabs: list[int],
        forms: list[int],
        kinds: list[str],
        codes: list[str],
        plan: Plan,
        order: list[int],
    ) -> None:
        """Two or three requests, their steps in a drawn order; the first one may die on the way."""
        self._count("all at once")
        ready: list[tuple[Browser, Seen]] = []
        for place, number in enumerate(browsers):
            here = self.browsers[number]
            its_plan = plan if place == 0 else None
            if kinds[place] == "same" and ready:
                here, first = ready[0]
                seen: Seen | None = here.ready(first.method, _target(first), worker=workers[place], fields=first.fields, cookies=first.cookies)
            elif kinds[place] == "go":
                seen = here.ready("GET", GOALS[forms[place] % len(GOALS)], worker=workers[place], plan=its_plan)
            else:
                seen = self._ready_press(here, workers[place], tabs[place], forms[place], codes[place], its_plan)
            if seen is not None:
                ready.append((here, seen))
        if ready:
            self.world.send(*(seen for _, seen in ready), order=order)
            for here, seen in ready:
                here.take(seen, seen.path)
            self._judge(*(seen for _, seen in ready))

    @rule(
        browser=browser_numbers,
        channel=st.sampled_from(CHANNELS),
        workers=st.lists(worker_numbers, min_size=3, max_size=3),
        beside=st.lists(
            st.sampled_from(
                (
                    "again",
                    "again",
                    "elsewhere",
                    "thief",
                    "wrong",
                    "look",
                    "leaves",
                    "revoke",
                    "reset",
                    "disable",
                    "delete",
                    "open",
                    "password",
                    "ledger",
                    "deny",
                )
            ),
            min_size=1,
            max_size=2,
        ),
        plan=plans,
        order=orders,
    )
    def races(self, browser: int, channel: str, workers: list[int], beside: list[str], plan: Plan, order: list[int]) -> None:
        """A right answer, and at the very same time something that may come between."""
        self._count("races")
        here = self._somebody(browser)
        found = self._up_to_the_answer(here, channel, workers[0])
        if found is None or here.login is None:
            return
        page, form, fields = found
        first = here.pressing(page, form, worker=workers[1], plan=plan, **fields)
        jobs: list[Seen | Callable[[], None]] = [first]
        for what in beside:
            self.oracle.counts[f"race with {what}"] += 1
            jobs += self._beside(what, here, page, form, fields, workers[2])
        self.world.send(*jobs, order=order)
        requests = [job for job in jobs if isinstance(job, Seen)]
        for seen in requests:
            here.take(seen, seen.path)
        self._judge(*requests)

    def _beside(self, what: str, here: Browser, page: Page, form: Form, fields: Mapping[str, str], worker: int) -> list[Seen | Callable[[], None]]:
        assert here.login is not None
        user_id = here.login.user_id
        if what == "again":
            return [here.pressing(page, form, worker=worker, **fields)]
        if what == "wrong":
            return [here.pressing(page, form, worker=worker, **({"code": "5555555"} if fields else {}))]
        if what == "look":
            return [here.ready("GET", f"{PREFIX}/push", worker=worker)]
        if what == "leaves":
            out = page.form("/logout")
            return [here.pressing(page, out, worker=worker)] if out else []
        if what in ("elsewhere", "thief"):
            return self._elsewhere(what, here, form, fields, worker)
        if what == "password":
            return [lambda: self.world.change_password(user_id)]
        if what == "ledger":
            return [self.world.lose_ledger]
        if what == "deny":
            return [lambda: self._answer_phone(user_id, "deny")]
        return [lambda: self._administer(what, user_id, worker)]

    def _elsewhere(self, what: str, here: Browser, form: Form, fields: Mapping[str, str], worker: int) -> list[Seen | Callable[[], None]]:
        """The same answer, from another browser: with an attempt of its own, or with the cookies of this one under another login."""
        assert here.login is not None
        other = Browser(self.world, 8)
        other.login = self._fresh(here.login.user_id)
        if what == "thief":
            other.jar = dict(here.jar)
        found = self._up_to_the_answer(other, "app" if fields else "push", worker, answer="")
        return [other.pressing(found[0], found[1], worker=worker, **(fields if found[2] else {}))] if found else []

    def _up_to_the_answer(self, here: Browser, channel: str, worker: int, *, answer: str = "approve") -> tuple[Page, Form, dict[str, str]] | None:
        """To the page where the code is typed, or where the phone is waited for; what is to be pressed there."""
        if here.login is None:
            return None
        here.page = None
        for _ in range(9):
            page = here.page
            form = page and (page.form("/code") or page.form("/poll"))
            if page is not None and form:
                if form.action.endswith("/code"):
                    return page, form, {"code": self._code(here, page, "right")}
                if answer:
                    self._answer_phone(here.login.user_id, answer)
                self.world.now += 10 if self.world.options.callbacks else 1
                return page, form, {}
            if page is not None and page.in_app:
                return None
            self._natural(here, channel, "/members", worker)
        return None

    def _answer_phone(self, user_id: str, what: str) -> None:
        with suppress(LookupError):
            getattr(self.world.emulator.phone(self._number(user_id)), what)()

    @rule(
        browser=browser_numbers,
        worker=worker_numbers,
        do=st.sampled_from(("add", "add", "remove", "code")),
        phone=people,
        code=st.sampled_from(CODES),
        which=small,
        plan=plans,
    )
    def changes_factors(self, browser: int, worker: int, do: str, phone: str, code: str, which: int, plan: Plan) -> None:
        """On the app's own page, by the backend."""
        self._count(f"changes factors: {do}")
        here = self.browsers[browser]
        user = here.login and self.world.store.get(here.login.user_id)
        factors = [factor.id for factor in user.factors] if user else []
        typed = "1111111"
        with suppress(LookupError):
            typed = self.world.emulator.phone(self._number(phone)).code
        fields = {"do": do, "phone": self._number(phone), "code": typed if code == "right" else "7777777"}
        fields["factor"] = factors[which % len(factors)] if factors else "none"
        page = here.post(FACTORS, fields, worker=worker, plan=plan)
        self._judge(page.seen)

    @rule(browser=browser_numbers, worker=worker_numbers, goal=st.sampled_from(GOALS), plan=plans, policy=st.sampled_from(("", "", "raise", "forgot", "odd")))
    def goes_while_things_break(self, browser: int, worker: int, goal: str, plan: Plan, policy: str) -> None:
        self._count("goes while things break")
        self._get(self.browsers[browser], goal, worker=worker, plan=plan, policy=policy)

    @rule(browser=browser_numbers, worker=worker_numbers, login=st.sampled_from(ODD_LOGINS), goal=st.sampled_from((*GOALS, PREFIX + "/", LOGOUT)))
    def is_oddly_identified(self, browser: int, worker: int, login: Any, goal: str) -> None:
        self._count("is oddly identified")
        self._get(self.browsers[browser], goal, worker=worker, login=login)

    # Administrators, operators

    @rule(user_id=people, what=st.sampled_from(("revoke", "reset", "open", "disable", "enable", "delete")), worker=worker_numbers)
    def administers(self, user_id: str, what: str, worker: int) -> None:
        self._count(f"administrator: {what}")
        self._administer(what, user_id, worker)

    def _administer(self, what: str, user_id: str, worker: int) -> None:
        acts = {
            "revoke": lambda gate: gate.backend.revoke(user_id),
            "reset": lambda gate: gate.backend.reset(user_id),
            "open": lambda gate: gate.backend.open(user_id),
            "disable": lambda gate: gate.backend.disable(user_id),
            "enable": lambda gate: gate.backend.disable(user_id, disabled=False),
            "delete": lambda gate: gate.settings.users.delete(user_id),
        }
        seen, _ = self.world.as_administrator(what, acts[what], worker)
        self.oracle.administered(seen, what, user_id)

    @rule(browser=browser_numbers, worker=worker_numbers)
    def is_invited(self, browser: int, worker: int) -> None:
        """An administrator invites whoever is there; they open the address."""
        self._count("is invited")
        here = self.browsers[browser]
        if here.login is not None:
            self._get(here, f"{PREFIX}/enrol?invite={self._invite(here.login.user_id, worker)}", worker=worker)

    def _invite(self, user_id: str, worker: int) -> str:
        _, token = self.world.as_administrator("invite", lambda gate: gate.backend.invite(user_id), worker)
        return str(token)

    @rule(
        what=st.sampled_from(("password", "password", "ledger", "worker", "worker", "clock", "secrets", "secrets")),
        user_id=people,
        worker=worker_numbers,
        step=st.integers(0, 2),
        skew=st.sampled_from((-9, 0, 9)),
    )
    def the_world_moves(self, what: str, user_id: str, worker: int, step: int, skew: int) -> None:
        """What operators, the site and bad luck do."""
        self._count(f"the world moves: {what}")
        if what == "password":
            self.world.change_password(user_id)
        elif what == "ledger":
            self.world.lose_ledger()
        elif what == "worker":
            self.world.workers[worker].start(self.world.workers[worker].secrets)
        elif what == "clock" and self.world.options.skew:
            self.world.workers[worker].skew = skew
        elif what == "secrets":
            self._rotate(step)

    def _rotate(self, step: int) -> None:
        """Forwards, mixed, back, and a retired key at last."""
        first, second = self.world.workers[0].secrets[0], self.world.workers[-1].secrets[0]
        if first == second:
            second = next(each for each in SECRETS if each not in self.world.leaked and each != first)
        mixes: Sequence[Sequence[Sequence[str]]] = (
            ((first, second), (first, second), (second, first)),
            ((second, first), (second, first), (second, first)),
            ((second,), (second,), (second,)),
        )
        if step < 2 or len(self.world.leaked) < len(SECRETS) - 3:
            self.world.rotate(mixes[step])

    # The adversary

    @rule(whose=browser_numbers, thief=browser_numbers, what=st.sampled_from(("pass", "attempt", "both")), swap=st.booleans())
    def steals_cookies(self, whose: int, thief: int, what: str, *, swap: bool) -> None:
        self._count("steals cookies")
        mine, theirs = self.browsers[thief].jar, self.browsers[whose].jar
        for name in {"pass": (PASS,), "attempt": (ATTEMPT,), "both": (PASS, ATTEMPT)}[what]:
            had = mine.pop(name, None)
            if name in theirs:
                mine[name] = theirs[name]
            if swap and had is not None:
                theirs[name] = had

    @rule(
        browser=browser_numbers,
        worker=worker_numbers,
        cookie=st.sampled_from((PASS, ATTEMPT)),
        how=st.sampled_from(("cut", "flip", "respell", "another", "other name", "wrong key", "leaked key", "other instance", "longer", "header", "nothing")),
        place=st.integers(0, 40),
        goal=st.sampled_from((*GOALS, *(PREFIX + page for page in OURS))),
        press=st.booleans(),
        also=st.sampled_from(("", "before", "after")),
    )
    def presents_a_spoilt_cookie(self, browser: int, worker: int, cookie: str, how: str, place: int, goal: str, *, press: bool, also: str) -> None:
        """9: whatever is presented that was not minted for this very place has exactly the effect of its absence."""
        self._count(f"spoilt cookie: {how}")
        here = self.browsers[browser]
        if here.login is None:
            return
        spoilt = self._spoilt(here, cookie, how, place)
        if spoilt is None or not self._worthless(here, worker, cookie, spoilt):
            return
        if cookie == ATTEMPT and how == "another" and also == "before":
            also = "after"  # of two that are signed the first one counts: a browser keeps one of a __Host- name
        genuine = here.jar.get(cookie, "") if also else ""
        values = [spoilt, genuine] if also == "before" else [genuine, spoilt] if also == "after" else [spoilt]
        rest = [f"{name}={value}" for name, value in here.jar.items() if name != cookie]
        without = "; ".join([*rest, *([f"{cookie}={genuine}"] if genuine else [])])
        with_it = "; ".join([*rest, *(f"{cookie}={value}" for value in values if value)])

        def ready(cookies: str) -> Seen | None:
            if not press:
                return here.ready("GET", goal, worker=worker, cookies=cookies)
            seen = self._ready_press(here, worker, place % 4, place % 6, "right")
            if seen is not None:
                seen.cookies = cookies
                seen.environ["HTTP_COOKIE"] = cookies
            return seen

        self._compare(here, ready, without, with_it, how)

    @rule(
        browser=browser_numbers,
        worker=worker_numbers,
        name=st.sampled_from(("csrf", "next", "invite")),
        how=st.sampled_from(("cut", "flip", "respell", "another's", "other name", "leaked key", "longer")),
        place=st.integers(0, 40),
        form=st.integers(0, 5),
    )
    def presents_a_spoilt_field(self, browser: int, worker: int, name: str, how: str, place: int, form: int) -> None:
        """9, for what pages and addresses carry."""
        self._count(f"spoilt {name}: {how}")
        here = self.browsers[browser]
        if not here.tabs or here.login is None:
            return
        page = here.tabs[-1]
        chosen = page.forms[form % len(page.forms)]
        spoilt = self._spoilt_field(here, name, how, place, chosen.fields.get(name, ""))
        mark = marks.read(spoilt) if spoilt else None
        # An invitation is for a user, in whichever login; all else is for one login.
        holder = mark and mark.label == name and marks.holder(mark.secret, here.login.user_id, "" if name == "invite" else here.login.session)
        under_way = name == "invite" and any(attempt.who == here.login for attempt in self.oracle.began)
        if not spoilt or under_way or (mark and mark.label == name and mark.secret in self.world.workers[worker].secrets and holder in mark.payload):
            return

        def ready(value: str) -> Seen:
            if name == "invite":
                return here.ready("GET", f"{PREFIX}/enrol" + (f"?invite={quote(value)}" if value else ""), worker=worker)
            fields = {**chosen.fields, name: value, **({"code": "6666666"} if chosen.action.endswith("/code") else {})}
            return here.ready("POST", chosen.action, worker=worker, fields=fields if value else {key: kept for key, kept in fields.items() if key != name})

        self._compare(here, ready, "", spoilt, f"{name}, {how}")

    def _spoilt_field(self, here: Browser, name: str, how: str, place: int, value: str) -> str:
        at = place * len(value) // 41
        others = [each for browser in self.browsers if browser.login != here.login for tab in browser.tabs for each in tab.forms]
        theirs = [each.fields[name] for each in others if each.fields.get(name)]
        elsewhere = [stolen for _name, stolen in self.stolen] + [
            each.fields[other] for each in others for other in ("csrf", "next") if other != name and each.fields.get(other)
        ]
        payload = [1, "/members", marks.holder(self.world.workers[0].secrets[0], *here.login), self.world.now, None, 10] if here.login else []
        return {
            "cut": value[:at],
            "flip": value[:at] + ("A" if value[at : at + 1] != "A" else "B") + value[at + 1 :],
            "respell": value.replace(".", "..", 1),
            "another's": theirs[place % len(theirs)] if theirs else "",
            "other name": elsewhere[place % len(elsewhere)] if elsewhere else "",
            "leaked key": marks.forge(name, payload, self.world.leaked[-1]) if self.world.leaked else "",
            "longer": value + "A" * (place * 150),
        }[how]

    def _compare(self, here: Browser, ready: Any, without: str, with_it: str, how: str) -> None:
        back = self.world.snapshot()
        plain = ready(without)
        if plain is None:
            return
        self.world.send(plain)
        if plain.asked or plain.saves:
            # What it does has been done; there is nothing to compare it with.
            here.take(plain, plain.path)
            self._judge(plain)
            return
        back()
        seen = ready(with_it)
        self.world.send(seen)
        here.take(seen, seen.path, lost=True)
        self._judge(seen)
        if _effects(plain) != _effects(seen):
            self._tell()
            raise Violation(f"invariant 9: a spoilt cookie ({how}) made a difference in {seen}:\n    {_effects(plain)} without,\n    {_effects(seen)} with it")
        self.oracle.counts["compared with its absence"] += 1

    def _spoilt(self, here: Browser, cookie: str, how: str, place: int) -> str | None:
        value = here.jar.get(cookie) or next((value for name, value in reversed(self.stolen) if name == cookie), "")
        if not value:
            return None
        at = place * len(value) // 41
        if how in ("wrong key", "leaked key", "other instance"):
            return self._forged(here, cookie, how)
        elsewhere = [stolen for name, stolen in self.stolen if (name == cookie) == (how == "another")]
        spoilt = {
            "cut": value[:at],
            "flip": value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :],
            "respell": (value + "=", value.replace(".", "..", 1), value[:-1] + "-", f'"{value}', value.upper(), value + "%20", " " + value[1:])[place % 7],
            "another": elsewhere[place % len(elsewhere)] if elsewhere else "",
            "other name": elsewhere[place % len(elsewhere)] if elsewhere else "",
            "longer": value + "A" * (place * 20),
            "header": f"{value[:at]}\x00{value[at:]}",
            "nothing": "",
        }
        return spoilt[how]

    def _forged(self, here: Browser, cookie: str, how: str) -> str | None:
        """A pass or an attempt that is right in everything but its key."""
        who = here.login
        assert who is not None
        keys = {"wrong key": "not-a-secret-of-anybody-not-a-secret", "other instance": self.world.workers[0].secrets[0]}
        secret = keys.get(how) or (self.world.leaked[-1] if self.world.leaked else "")
        if not secret:
            return None
        version = self.oracle.version(who.user_id, self.world.order)
        holder = marks.holder(self.world.workers[0].secrets[0], *who)
        payloads = {PASS: [1, "A" * 22, holder, self.oracle.epoch(version), [["app", self.world.now]]], ATTEMPT: [1, "A" * 22, self.world.now]}
        return marks.forge({PASS: "pass", ATTEMPT: "attempt"}[cookie], payloads[cookie], secret, "elsewhere" if how == "other instance" else "second_factor")

    def _worthless(self, here: Browser, worker: int, cookie: str, value: str) -> bool:
        """Whether this value has no right to any effect, here."""
        mark = marks.read(value)
        if mark is None or mark.label != {PASS: "pass", ATTEMPT: "attempt"}[cookie] or mark.secret not in self.world.workers[worker].secrets:
            return True
        if cookie == PASS:
            return mark.payload[2] != marks.holder(mark.secret, *here.login)  # type: ignore[misc]
        # A page that was only looked at has no attempt yet: its cookie holds a number, and nothing else.
        begun = [attempt.who for attempt in self.oracle.began if attempt.id == mark.payload[1]]
        return bool(begun) and here.login not in begun

    @rule(
        browser=browser_numbers, worker=worker_numbers, method=st.sampled_from(METHODS), path=st.sampled_from(ODD_PATHS), headers=st.sampled_from(ODD_HEADERS)
    )
    def asks_oddly(self, browser: int, worker: int, method: str, path: str, headers: Mapping[str, str]) -> None:
        self._count("asks oddly")
        here = self.browsers[browser]
        seen = here.ready(method, path, worker=worker, headers=headers)
        self.world.send(seen)
        here.take(seen, path)
        self._judge(seen)

    @rule(which=st.integers(0, 5), status=st.sampled_from(("approved", "denied")), key=st.sampled_from(("right", "right", "wrong")), worker=worker_numbers)
    def calls_back(self, which: int, status: str, key: str, worker: int) -> None:
        """A callback, forged or not: whoever knows the API key can sign one, and it is a hint and no more."""
        self._count("calls back")
        uuids = list(self.oracle.pushes)
        uuid = uuids[-1 - which % len(uuids)] if uuids else "00000000-0000-4000-8000-000000000000"
        self._call_back(uuid, status, worker, **({"key": "another key"} if key == "wrong" else {}))

    def _call_back(self, uuid: str, status: str, worker: int, **key: str) -> None:
        headers, body = self.world.callback(uuid, status, **key)
        seen = self.world.request(self.world.workers[worker], None, "POST", CALLBACK.removeprefix(SITE), body=body, headers=headers, what="callback")
        self.world.send(seen)
        self._judge(seen)

    @rule(
        browsers=st.lists(browser_numbers, min_size=1, max_size=2),
        worker=worker_numbers,
        rounds=st.integers(1, 6),
        tries=st.integers(1, 7),
        waits=st.sampled_from((0, 0, 31, 601, 901, 86_401)),
    )
    def guesses(self, browsers: list[int], worker: int, rounds: int, tries: int, waits: int) -> None:
        """Wrong codes, as many as one likes, attempt after attempt, of one person or of two in turn."""
        self._count("guesses")
        for number in range(rounds):
            here = self._somebody(browsers[number % len(browsers)])
            page = self._get(here, f"{PREFIX}/", worker=worker)
            for _ in range(3):
                if page.seen.status == 303:
                    page = self._get(here, page.seen.location, worker=worker)
                elif form := page.form("/start", channel="app"):
                    page = self._press(here, page, form, worker=worker)
            for _ in range(tries):
                form = page.form("/code")
                if form is None:
                    break
                page = self._press(here, page, form, worker=worker, code="4444444")
            self.world.now += waits
            here.jar.pop(ATTEMPT, None)

    # Liveness

    @rule(
        browser=browser_numbers,
        channel=st.sampled_from(CHANNELS),
        workers=st.lists(worker_numbers, min_size=3, max_size=3),
        dies=st.one_of(st.none(), st.integers(3, 30), places),
        late=st.booleans(),
        waits=st.integers(0, 29),
    )
    def loses_the_answer(self, browser: int, channel: str, workers: list[int], dies: int | str | None, *, late: bool, waits: int) -> None:
        """A right answer whose response is lost, or whose worker dies after the burn, ends in that same pass within half a minute."""
        self._count("loses the answer")
        here = self._somebody(browser)
        if here.login is None:
            return
        found = self._up_to_the_answer(here, channel, workers[0])
        if found is None:
            return
        page, form, fields = found
        plan: Plan = {} if dies is None else {dies: Mishap("killed", late)}
        jar = dict(here.jar)
        lost = self._press(here, page, form, worker=workers[1], lost=True, plan=plan, **fields)
        here.jar, here.page = jar, page
        burnt = any(write.kind == "used" and write.op == "claim" and write.mine for write in lost.seen.writes)
        if burnt and lost.seen.alone:
            self._comes_back(here, page, form, fields, workers[2], lost.seen, waits)

    def _comes_back(self, here: Browser, page: Page, form: Form, fields: Mapping[str, str], worker: int, lost: Seen, waits: int) -> None:
        expected = next((marks.read(value) for name, value, gone in lost.set_cookies if name == PASS and not gone), None)
        before = mark.payload if (mark := self._pass_of(here)) else None
        assert lost.worker is not None
        until = lost.began + 30 - self.world.workers[worker].skew + lost.worker.skew
        named = marks.read(here.jar.get(ATTEMPT, ""))
        if named is None or named.payload[2] + 600 <= until + 30:
            return  # the attempt itself ends meanwhile
        self.world.now += max(0, min(waits, until - self.world.now - 1))
        while self.world.now < until:
            here.page = page
            again = self._press(here, page, form, worker=worker, **fields)
            if again.seen.status == 429:
                return
            for _ in range(4):
                mark = self._pass_of(here)
                if here.page is not None and (here.page.in_app or (mark is not None and mark.payload != before)):
                    break
                if here.page is None or here.page.form("/code") or "checked" in here.page.title:
                    break
                self._natural(here, "sms", "/members", worker)
            mark = self._pass_of(here)
            if mark is not None and mark.payload != before:
                if expected is not None and mark.payload[1] != expected.payload[1]:
                    break
                self.oracle.counts["came back to the same pass"] += 1
                return
            self.world.now += 3
        self._tell()
        raise Violation(f"liveness: a right answer was lost in {lost}, and did not end in its pass")

    def _pass_of(self, here: Browser) -> marks.Mark | None:
        """The pass of whoever is there, if the browser has it."""
        mark = marks.read(here.jar.get(PASS, ""))
        fits = mark is not None and mark.label == "pass" and here.login is not None and mark.payload[2] == marks.holder(mark.secret, *here.login)
        return mark if fits else None

    def teardown(self) -> None:
        if not hasattr(self, "oracle"):
            return
        if not self.failed:
            self._everybody_gets_in_again()
        self.totals.update(self.oracle.counts)
        self.totals["requests"] += len(self.world.requests)
        self.totals["runs"] += 1

    def _everybody_gets_in_again(self) -> None:
        """Every closure by time ends, and an administrator opens the others."""
        self.world.now += 32 * 86_400
        for user_id in ("alice", "carol"):
            for word in ("enable", "open"):
                self._administer(word, user_id, 0)
            here = Browser(self.world, 9)
            here.login = self._fresh(user_id)
            user = self.world.store.get(user_id)
            if not (user and user.factors) and (self.world.options.enrolment == "invited" or (user and user.enrolment)):
                self._get(here, f"{PREFIX}/enrol?invite={self._invite(user_id, 0)}")
            for _ in range(14):
                page = self._natural(here, "sms", "/members")
                if page.in_app:
                    break
                # A ledger that is younger than the factor takes no code of an app for three minutes.
                self.world.now += 181 if page.seen.status == 503 else 0
            else:
                self._tell()
                raise Violation(f"liveness: {user_id} does not get in again; the last page was {here.page and here.page.title!r}")


def _target(seen: Seen) -> str:
    return seen.path + (f"?{seen.query}" if seen.query else "")


def _effects(seen: Seen) -> tuple[Any, ...]:
    """What a request did, without what is random."""
    done = (
        [(entry.path, entry.told) for entry in seen.entries],
        [name for name, _value, gone in seen.set_cookies if name == PASS or gone],
        [call.kind for call in seen.asked],
        [(change.user_id, change.after and change.after.factors) for change in seen.saves],
        sorted((write.op, write.kind) for write in seen.writes if write.kind != "idle" and (write.op != "pop" or write.mine)),
    )
    looks = (seen.status, seen.location.partition("?")[0], "?" in seen.location) if seen.method == "GET" else ()
    return done, looks
