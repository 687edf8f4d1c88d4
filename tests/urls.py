"""No views: a test that needs some names its own URLconf."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
