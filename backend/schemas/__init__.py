"""The shapes on the wire; they wrap the library's request models."""
