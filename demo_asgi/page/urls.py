"""The URLs under ``/page/``. None of them requires a token."""

from django.urls import path

from . import api, files, load

urlpatterns = [
    path("views", api.views, name="views"),
    path("status", api.status, name="status"),
    path("tokens", api.tokens, name="tokens"),
    path("reasons", api.reasons, name="reasons"),
    path("explain", api.explain, name="explain"),
    path("authority", api.authority, name="authority"),
    path("proof", api.proof, name="proof"),
    path("certificate", api.certificate, name="certificate"),
    path("tour", api.tour, name="tour"),
    path("short", api.short, name="short"),
    path("load", api.load, name="load"),
    path("plain", load.plain, name="plain"),
    path("<name>", files.static, name="static"),
]
