"""Jobs as files: what is to be done, who does it, what is done. `docs/jobs.md` shows the whole."""
