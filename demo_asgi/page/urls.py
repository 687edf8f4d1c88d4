"""What lies under ``/page/``: nobody needs a token for any of it."""

from django.urls import path

from . import api, files, load

urlpatterns = [
    path("views", api.views, name="views"),
    path("status", api.status, name="status"),
    path("tokens", api.tokens, name="tokens"),
    path("reasons", api.reasons, name="reasons"),
    path("explain", api.explain, name="explain"),
    path("authority", api.authority, name="authority"),
    path("load", api.load, name="load"),
    path("plain", load.plain, name="plain"),
    path("<name>", files.static, name="static"),
]
