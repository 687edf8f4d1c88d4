"""One URL a contender. Those with remote tokens are there if the process that starts the site names their server."""

import os

from django.urls import path

from . import views
from .settings_names import AUTHORITY_VARIABLE

VIEWS = dict(views.VIEWS)
if AUTHORITY_VARIABLE in os.environ:
    from . import remote_views

    VIEWS |= remote_views.VIEWS

urlpatterns = [path(name, view) for name, view in VIEWS.items()]
