"""Settings, errors and guards of the service."""
