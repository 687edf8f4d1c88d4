"""The document that names the authorization server, and the MCP server that is a view."""

from django.urls import path

from async_oauth_guard import require_oauth

from .views import mcp, sync_mcp

urlpatterns = [*require_oauth.metadata_urls(), path("mcp/django", mcp), path("mcp/django-sync", sync_mcp)]
