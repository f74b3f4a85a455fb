"""The panel for browsers."""
