"""The routes of the authorization server."""

from django.urls import path

from demo_asgi.index import index

from . import views

urlpatterns = [
    path("", index, name="index"),
    path(".well-known/oauth-authorization-server", views.describe, name="metadata"),
    path("token", views.token, name="token"),
    path("introspect", views.introspect, name="introspect"),
    path("revoke", views.revoke, name="revoke"),
    path("jwks", views.jwks, name="jwks"),
    path("rotate", views.rotate, name="rotate"),
    path("faults", views.faults, name="faults"),
    path("specimens", views.specimens, name="specimens"),
]
