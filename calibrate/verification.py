"""Whether a bundle is what it was made to be: signature, digests, golden frames. Runs on the box, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.signature import PublicKey
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.golden import golden_difference
from edge_inspect.edge.engines.loading import engine_class
from edge_inspect.edge.engines.opening import open_engine
from edge_inspect.edge.engines.registry import EVERYWHERE
from edge_inspect.edge.errors import BundleError, CheckFailed, EngineError, SignatureError


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        what: Subject of the check: `signature`, `files`, or `golden` with the precision.
        ok: Whether the check passed.
        detail: Finding, with the numbers.
    """

    what: str
    ok: bool
    detail: str


@dataclass
class Verification:
    """The results of all checks.

    Attributes:
        path: The bundle's path.
        checks: Checks in the order they were made; a wrong signature or file ends them.
        bundle: The bundle, if its signature and files are right.
        golden: Largest difference of a golden map's value, for each precision whose engine could be built.
    """

    path: Path
    checks: list[Check] = field(default_factory=list)
    bundle: Bundle | None = None
    golden: dict[Precision, float] = field(default_factory=dict)

    @property
    def failed(self) -> list[Check]:
        """Checks that failed."""
        return [check for check in self.checks if not check.ok]

    def as_dict(self) -> dict[str, Any]:
        """Return the results as `--json` writes them."""
        signed_by = self.bundle.signed_by if self.bundle else None
        return {
            "bundle": self.bundle.manifest.name if self.bundle else None,
            "digest": self.bundle.digest if self.bundle else None,
            "ok": not self.failed,
            "signed_by": signed_by.id if signed_by else None,
            "golden": self.golden,
            "checks": [asdict(check) for check in self.checks],
        }

    def raise_failed(self) -> None:
        """Raise an error if a check failed.

        Raises:
            CheckFailed: At least one check failed; the message names each.
        """
        if self.failed:
            raise CheckFailed("; ".join(f"{check.what}: {check.detail}" for check in self.failed))


def verify(path: Path, trusted: Sequence[PublicKey] = (), engine: str = EVERYWHERE) -> Verification:
    """Check a bundle: its signature if keys are given, every digest, and each precision on the golden frames.

    Args:
        path: The bundle.
        trusted: Public keys; if there are any, the bundle must be signed with one of them.
        engine: Engine that runs the golden frames.

    Raises:
        BundleError: There is nothing at `path`.
    """
    verification = Verification(path)
    try:
        bundle = open_bundle(path, trusted)
    except BundleError as error:
        if not path.exists():
            raise
        what = "signature" if isinstance(error, SignatureError) else "files"
        verification.checks.append(Check(what, False, str(error)))
        return verification
    verification.bundle = bundle
    size = sum(file.bytes for file in bundle.manifest.files.values()) / 1e6
    files = f"{len(bundle.manifest.files)} files, {size:.1f} MB, have the sha256 of the manifest"
    verification.checks += [Check("signature", True, describe_signature(bundle)), Check("files", True, files)]
    for precision in bundle.manifest.precisions:
        verification.checks.append(_golden(bundle, precision, engine, verification.golden))
    return verification


def describe_signature(bundle: Bundle) -> str:
    """Return who signed the bundle, and how to check that."""
    if bundle.signed_by is not None:
        return f"by key {bundle.signed_by.id} ({bundle.signed_by.path})"
    try:
        signature = bundle.signature()
    except SignatureError as error:
        return f"damaged, not checked: {error}"
    if signature is None:
        return "none; calibrate sign makes one"
    return f"by key {signature.key_id}, not checked; calibrate verify --public-key FILE checks it"


def _golden(bundle: Bundle, precision: Precision, engine: str, found: dict[Precision, float]) -> Check:
    allowed = bundle.manifest.golden.tolerance[precision]
    if missing := engine_class(engine).unsupported(precision):
        return Check(f"golden {precision}", True, f"not run: {missing}; the bundle's other precisions serve here")
    try:
        with open_engine(bundle, precision, engine=engine) as opened:
            difference = golden_difference(bundle, opened)
    except (BundleError, EngineError) as error:
        return Check(f"golden {precision}", False, str(error))
    found[precision] = difference
    numbers = f"golden maps differ by {difference:.2e} at most, {allowed:g} is allowed"
    if difference <= allowed:
        return Check(f"golden {precision}", True, numbers)
    return Check(f"golden {precision}", False, f"{bundle.path}: the {precision} engine drifts: {numbers}")
