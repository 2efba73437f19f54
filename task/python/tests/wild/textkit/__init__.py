"""A package as one installs it."""
