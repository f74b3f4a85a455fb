"""`charaforge ui`: the panel in a browser, in front of a running REST service."""

from __future__ import annotations

import argparse

from charaforge.errors import ExitCode
from charaforge.ui.web.serving import launch
from charaforge.warehouse.bootstrap import bootstrap

NAME = "ui"
HELP = "open the panel for browsers, in front of a running REST service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="TCP port (default: %(default)s)")
    told = "the REST service (default: CHARAFORGE_API_URL, else http://localhost:8000)"
    parser.add_argument("--api", default="", metavar="URL", help=told)


def run(args: argparse.Namespace) -> int:
    """Serve the panel until it is stopped."""
    bootstrap()
    launch(args.host, args.port, args.api)
    return ExitCode.PASS
