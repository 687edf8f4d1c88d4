"""One URL for each contender. Contenders with remote tokens need an authorization server in the environment."""

import os

from django.urls import path

from . import views
from .settings_names import AUTHORITY_VARIABLE

VIEWS = dict(views.VIEWS)
if AUTHORITY_VARIABLE in os.environ:
    from . import remote_views

    VIEWS |= remote_views.VIEWS

urlpatterns = [path(name, view) for name, view in VIEWS.items()]
