"""The Django site that is measured: every contender around one and the same view."""
