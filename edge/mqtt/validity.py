"""Dates and names of a certificate, and whether it is valid by this box's clock."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # cryptography takes 8 MB, which a box without TLS keeps
    from cryptography import x509

_NAMES_SHOWN = 5


def date_problem(certificate: x509.Certificate) -> str:
    """Return why a certificate is not valid now, with the remedy; empty if it is valid."""
    now = datetime.now(timezone.utc)
    first, last = _span(certificate)
    # The hour is exact enough. With minutes the text would change, and the log would report the problem every minute.
    clock = f"this box's clock says {now:%Y-%m-%d, %H} h UTC"
    if now < first:
        return f"is not valid before {first:%Y-%m-%d %H:%M} UTC, and {clock}; set the clock (timedatectl)"
    if now > last:
        return f"expired on {last:%Y-%m-%d %H:%M} UTC, and {clock}; renew it, or set the clock if that is wrong"
    return ""


def names(certificate: x509.Certificate) -> str:
    """Return the host names and addresses in a certificate."""
    from cryptography import x509
    from cryptography.x509.oid import ExtensionOID

    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
        found = [str(name.value) for name in extension.value if isinstance(name, x509.DNSName | x509.IPAddress)]  # type: ignore[attr-defined]
    except (x509.ExtensionNotFound, ValueError):
        found = []
    found = found or common_names(certificate.subject)
    shown = ", ".join(found[:_NAMES_SHOWN]) + (", ..." if len(found) > _NAMES_SHOWN else "")
    return shown or "no name at all"


def common_names(name: x509.Name) -> list[str]:
    """Return the common names in a certificate's name."""
    from cryptography.x509.oid import NameOID

    return [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _span(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    try:
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except AttributeError:  # cryptography before 42
        before, after = certificate.not_valid_before, certificate.not_valid_after
        return before.replace(tzinfo=timezone.utc), after.replace(tzinfo=timezone.utc)
