"""The pages. What they want of the second factor stands in their `view_config`."""

from __future__ import annotations

from typing import Any

from pyramid.exceptions import BadCSRFToken
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.security import forget, remember
from pyramid.view import exception_view_config, forbidden_view_config, notfound_view_config, view_config

from authy_wsgi import phones
from examples.pyramid_site import models
from examples.registration import read_registration, spelled

FRESH_SECONDS = 60

_CHANNELS = {
    "sms": "a code by text message",
    "call": "a code by phone call",
    "email": "a code by e-mail",
    "app": "a code from the Authy app",
    "push": "an approval on your phone",
}


@view_config(route_name="home", renderer="home.html")
def home(request: Any) -> Any:
    return {"left": "left" in request.GET}


@view_config(route_name="register", request_method="GET", renderer="register.html")
def register_form(request: Any) -> Any:
    return go(request, "/members") if request.identity else {"fields": {}, "complaints": {}, "countries": phones.countries()}


@view_config(route_name="register", request_method="POST", renderer="register.html")
def register(request: Any) -> Any:
    fields = {name: request.POST.get(name, "")[:300] for name in ("name", "password", "email", "country", "phone")}
    registration, complaints = read_registration(fields)
    if registration is not None:
        if models.register(request.db, *registration, at=request.registry.clock()):
            return go(request, f"/login?new={registration.name}")
        complaints = {"name": "This name is taken. Choose another one, or sign in if it is yours."}
    request.response.status_int = 422
    return {"fields": fields, "complaints": complaints, "countries": phones.countries()}


@view_config(route_name="login", request_method="GET", renderer="login.html")
def login_form(request: Any) -> Any:
    return go(request, "/members") if request.identity else {"accounts": request.registry.accounts, "name": request.GET.get("new", "")[:40]}


@view_config(route_name="login", request_method="POST", renderer="login.html")
def login(request: Any) -> Any:
    name = spelled(request.POST.get("name", ""))
    if not models.knows(request.db, name, request.POST.get("password", "")):
        request.response.status_int = 422
        return {"accounts": request.registry.accounts, "name": name[:40], "wrong": True}
    return go(request, "/members", remember(request, name))


@view_config(route_name="members", renderer="members.html", permission="view")
def members(request: Any) -> Any:
    proofs = [(_CHANNELS.get(proof.channel, proof.channel), proof.at) for proof in request.second_factor.proven.proofs]
    return {"proofs": proofs, "payments": models.payments_of(request.db, request.identity.name)}


# The form is behind a fresh proof too, so that who fills it in may send it; where that takes longer, what was typed is kept and sent on.


@view_config(route_name="pay", request_method="GET", renderer="pay.html", permission="view", second_factor_max_age=FRESH_SECONDS)
def pay_form(_request: Any) -> Any:
    return {"payee": "", "amount": "", "fresh_seconds": FRESH_SECONDS}


@view_config(route_name="pay", request_method="POST", renderer="pay.html", permission="view", second_factor_max_age=FRESH_SECONDS)
def pay(request: Any) -> Any:
    payee, amount = request.POST.get("payee", "").strip()[:60], request.POST.get("amount", "")[:20]
    cents = models.read_amount(amount)
    complaints = {}
    if not payee:
        complaints["payee"] = "Say who gets the acorns."
    if cents is None:
        complaints["amount"] = "Type an amount from 0.01 to 10,000, such as 12.50."
    else:
        if not complaints:
            return go(request, "/paid/" + models.pay(request.db, request.identity.name, payee, cents, request.registry.clock()))
    request.response.status_int = 422
    return {"payee": payee, "amount": amount, "complaints": complaints, "fresh_seconds": FRESH_SECONDS}


@view_config(route_name="paid", renderer="paid.html", permission="view")
def paid(request: Any) -> Any:
    payments = {payment.id: payment for payment in models.payments_of(request.db, request.identity.name)}
    found = payments.get(request.matchdict["payment"])
    return {"payment": found} if found else go(request, "/members")


# The keepers' room: a text message is not enough there, a code of the app is.


@view_config(route_name="keepers", request_method="GET", renderer="keepers.html", permission="keep", second_factor_strength="code")
def keepers(request: Any) -> Any:
    return {"accounts": models.accounts(request.db), "pretty": phones.pretty, "done": request.GET.get("done", "")[:40]}


@view_config(route_name="keepers", request_method="POST", permission="keep", second_factor_strength="code")
def send_out(request: Any) -> Any:
    """End everything that somebody has proved, in every browser of theirs: a phone was lost."""
    name = request.POST.get("name", "")
    request.second_factor.backend.revoke(name)
    return go(request, f"/keepers?done={name}")


@view_config(route_name="logout", request_method="GET", renderer="logout.html")
def logout_form(request: Any) -> Any:
    return {} if request.identity else go(request, "/")


@view_config(route_name="logout", request_method="POST")
def logout(request: Any) -> Any:
    return go(request, "/?left", forget(request))


@notfound_view_config(renderer="message.html")
def not_found(request: Any) -> Any:
    request.response.status_int = 404
    return {"heading": "There is no such page", "message": "Check the address, or go back to the start."}


@exception_view_config(BadCSRFToken, renderer="message.html")
def stale(request: Any) -> Any:
    request.response.status_int = 403
    return {"heading": "Please try again", "message": "That page was open for too long, or its cookie is gone. Nothing was done."}


@forbidden_view_config(renderer="message.html")
def forbidden(request: Any) -> Any:
    if request.identity is None:
        return go(request, "/login")
    request.response.status_int = 403
    return {"heading": "This room is for keepers", "message": "You are signed in, but your account may not go in here."}


def go(request: Any, path: str, headers: Any = ()) -> Any:
    return HTTPSeeOther(location=request.script_name + path, headers=[*headers, ("Cache-Control", "no-store")])
