"""The measured Django site. All contenders return the same response."""
