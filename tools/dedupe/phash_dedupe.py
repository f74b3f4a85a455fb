"""Finds copies of pictures; the code is in charaforge/cli/verbs/dedupe.py and charaforge/curation/dedupe."""

import sys

try:
    from charaforge.cli.main import main
except ModuleNotFoundError as error:
    print(f"{error}; in the repository run:  pip install -e '.[all]'", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main(["dedupe", *sys.argv[1:]]))
