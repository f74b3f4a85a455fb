"""What is asked of the engine, as frozen, torch-free models: used by library, service and clients alike."""
