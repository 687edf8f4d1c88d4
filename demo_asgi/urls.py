"""The routes of the demo."""

from django.urls import include, path

from async_oauth_guard import require_oauth

from . import remote_views, views
from .page.files import front

# One call guards these views.
reports = [
    path("daily", views.daily_report, name="daily"),
    path("<int:year>", views.yearly_report, name="yearly"),
]

urlpatterns = [
    path("", front, name="index"),
    path("page/", include(("demo_asgi.page.urls", "page"))),
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
    path("jwt/async", remote_views.jwt_async, name="jwt_async"),
    path("jwt/sync", remote_views.jwt_sync, name="jwt_sync"),
    path("introspection/async", remote_views.introspection_async, name="introspection_async"),
    path("introspection/sync", remote_views.introspection_sync, name="introspection_sync"),
    path("introspection/fresh", remote_views.introspection_fresh, name="introspection_fresh"),
    path("any/async", remote_views.any_async, name="any_async"),
    path("any/sync", remote_views.any_sync, name="any_sync"),
    path("dpop/async", remote_views.dpop_async, name="dpop_async"),
    path("dpop/sync", remote_views.dpop_sync, name="dpop_sync"),
    path("nonce/async", remote_views.nonce_async, name="nonce_async"),
    path("nonce/sync", remote_views.nonce_sync, name="nonce_sync"),
    path("mtls/async", remote_views.mtls_async, name="mtls_async"),
    path("mtls/sync", remote_views.mtls_sync, name="mtls_sync"),
    path("payment/async", remote_views.payment_async, name="payment_async"),
    path("payment/sync", remote_views.payment_sync, name="payment_sync"),
    path("reports/", require_oauth.protect_urls((reports, "reports"), "reports:read")),
]
