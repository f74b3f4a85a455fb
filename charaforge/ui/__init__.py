"""The user interfaces, built on the client only."""
