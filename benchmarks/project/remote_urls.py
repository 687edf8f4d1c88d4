"""One URL a contender, for tokens that an authorization server vouches for."""

from django.urls import path

from .remote_views import VIEWS

urlpatterns = [path(name, view) for name, view in VIEWS.items()]
