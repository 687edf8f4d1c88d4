"""User code that must type-check, under mypy's and pyright's strict modes. Nothing here is run."""
