"""The command line: argv → configuration → one call into the library."""
