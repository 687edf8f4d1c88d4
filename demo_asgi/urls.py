"""The routes of the demo."""

from django.urls import path

from async_oauth_guard import require_oauth

from . import views
from .index import index

# Views that never heard of the guard, under one lock.
reports = [
    path("daily", views.daily_report, name="daily"),
    path("<int:year>", views.yearly_report, name="yearly"),
]

urlpatterns = [
    path("", index, name="index"),
    path("health", views.health, name="health"),
    path("feedback", views.feedback, name="feedback"),
    path("profile", views.profile, name="profile"),
    path("contact", views.contact, name="contact"),
    path("token", views.token_info, name="token"),
    path("timeline", views.timeline, name="timeline"),
    path("me", views.me, name="me"),
    path("messages", views.send_message, name="messages"),
    path("users/<username>/diary", views.diary, name="diary"),
    path("account", views.Account.as_view(), name="account"),
    path("notes", views.Notes.as_view(), name="notes"),
    path("drafts", views.Drafts.as_view(), name="drafts"),
    path("reports/", require_oauth.protect_urls((reports, "reports"), "reports:read")),
]
