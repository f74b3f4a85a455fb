"""The library as a service: HTTP and queue, nothing else."""
