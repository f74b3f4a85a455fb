"""The parts of an adapter: which layers, what lies in them, what drops out, what is averaged."""
