"""One module per verb: `NAME`, `HELP`, `add_arguments(parser)` and `run(args) -> int`.

Heavy libraries are imported inside `run`, so that `charaforge --help` answers at once.
"""
