"""The pages of the project."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from authy_wsgi import proven
from authy_wsgi.integrations.django.decorators import second_factor_required


@login_required
def members(request: HttpRequest) -> HttpResponse:
    """The start page."""
    channels = [proof.channel for proof in proven(request.environ).proofs]
    return render(request, "members.html", {"channels": channels})


@login_required
@second_factor_required(max_age=60)
def pay(request: HttpRequest) -> HttpResponse:
    """A payment, with a proof of the last minute."""
    return render(request, "pay.html", {"paid": request.POST.get("amount", "")[:20]})


urlpatterns = [
    path("", members, name="members"),
    path("pay", pay, name="pay"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
]
