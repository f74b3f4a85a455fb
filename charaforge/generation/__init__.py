"""From a request to pictures that say how they were made."""
