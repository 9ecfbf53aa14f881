"""The options of `calibrate keygen` and `calibrate sign`, and what they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.program import say

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def _add_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="file whose first line is the passphrase that protects the private key (default: no passphrase)",
    )


def add_keygen(parser: argparse.ArgumentParser) -> None:
    """Describe `calibrate keygen` to its parser."""
    parser.description = (
        "Makes a pair of Ed25519 keys. The private key signs bundles. It stays where bundles are made, and only its "
        "owner can read it. The public key goes to every box: with `bundles: {public_keys: [FILE]}` in its "
        "configuration, a box accepts only bundles signed with the matching private key. Existing keys are never "
        "overwritten."
    )
    parser.epilog = "Example: calibrate keygen --out keys; calibrate sign bundles/bottle --key keys/signing-key.pem"
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="folder for signing-key.pem and signing-key.pub.pem; or NAME.pem, and NAME.pub.pem is written beside it",
    )
    _add_passphrase(parser)
    parser.set_defaults(handler=_keygen)


def _keygen(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.signing import make_keys, read_passphrase

    pair = make_keys(arguments.out, read_passphrase(arguments.passphrase_file) if arguments.passphrase_file else None)
    say(f"{pair.private}: private key {pair.id}; keep it here, and a copy of it in a safe place")
    say(f"{pair.public}: public key {pair.id}; copy it to every box and name it in bundles.public_keys")


def add_sign(parser: argparse.ArgumentParser) -> None:
    """Describe `calibrate sign` to its parser."""
    parser.description = (
        "Signs a bundle, a folder or a .zip, after checking every file. The signature is written to manifest.sig "
        "beside manifest.yaml. Signing again replaces it. Copies of the bundle, packed or unpacked, stay signed."
    )
    parser.epilog = "Example: calibrate sign bundles/bottle --key keys/signing-key.pem"
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to sign, a folder or a .zip")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key made by calibrate keygen")
    _add_passphrase(parser)
    parser.set_defaults(handler=_sign)


def read_signing_key(arguments: argparse.Namespace) -> Ed25519PrivateKey:
    """Return the private key that `--key` and `--passphrase-file` name.

    Raises:
        UsageError: The key or the passphrase cannot be read, or they do not belong together.
    """
    from edge_inspect.calibrate.signing import read_passphrase, read_private_key

    passphrase = read_passphrase(arguments.passphrase_file) if arguments.passphrase_file else None
    return read_private_key(arguments.key, passphrase)


def _sign(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.signing import is_open_to_others, sign_bundle
    from edge_inspect.edge.bundle.signature import key_id

    key = read_signing_key(arguments)
    if is_open_to_others(arguments.key):
        say(f"warning: others may read {arguments.key}; chmod 600 {arguments.key}")
    bundle = sign_bundle(arguments.bundle, key)
    say(f"{bundle.path}: signed with key {key_id(key.public_key())}; calibrate verify --public-key FILE checks it")
