"""The typed client of the REST service; the user interfaces use nothing else."""
