"""Integrations with other frameworks. Each module is one integration, and needs the extra of the same name."""
