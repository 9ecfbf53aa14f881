"""Checks command lines of `calibrate` without running them, for `edge-train products`.

It reads a JSON list of command lines from standard input, each a list of words, and writes a JSON list of the mistakes
to standard output; an empty text says that a command line would be accepted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from edge_inspect.calibrate.bundle_options import add_bundle, request_of
from edge_inspect.calibrate.key_options import add_sign, read_signing_key
from edge_inspect.calibrate.teach.propose_options import add_propose, check_propose
from edge_inspect.edge.errors import EdgeInspectError
from edge_inspect.train.products.command_lines import RaisingParser


def mistake_in(words: Sequence[str]) -> str:
    """Return what is wrong with a command line; an empty text if nothing is.

    Files that the command only reads when it runs, such as the checkpoint, are not looked for. Keys are read.
    """
    parser = RaisingParser(add_help=False, allow_abbrev=False)
    command, *rest = words
    {"bundle": add_bundle, "sign": add_sign, "propose": add_propose}[command](parser)
    try:
        arguments = parser.parse_args(rest)
        if command == "bundle":
            from edge_inspect.calibrate.bundling import check_request

            check_request(request_of(arguments))
            if arguments.defects is not None and not arguments.defects.is_dir() and "://" not in str(arguments.defects):
                return f"--defects {arguments.defects}: no such folder"
        elif command == "sign":
            read_signing_key(arguments)
        else:
            check_propose(arguments)
    except EdgeInspectError as error:
        return str(error)
    return ""


def main() -> int:
    """Check the command lines of standard input; return the exit status."""
    print(json.dumps([mistake_in(words) for words in json.load(sys.stdin)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
