"""One URL a contender."""

from django.urls import path

from benchmarks.contenders import CONTENDERS

from .views import VIEWS, tasks

urlpatterns = [*(path(name, VIEWS[name]) for name in CONTENDERS), path("tasks", tasks)]
