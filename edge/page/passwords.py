"""Passwords of the page's users: what is kept of them, and how one is checked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import unicodedata
from typing import NamedTuple

SHORTEST = 10
"""Least number of characters of a password."""

LONGEST = 1024
"""Largest number of characters of a password."""

# One check needs 32 MiB and a few tenths of a second on a small processor (OWASP's parameters for scrypt, with p = 3).
_LOG_N, _R, _P = 15, 8, 3
_SALT_BYTES, _KEY_BYTES = 16, 32
# A file with larger parameters could exhaust the memory of the box.
_LARGEST_LOG_N, _LARGEST_R, _LARGEST_P = 17, 16, 8
_FORM = re.compile(
    r"scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{22}==)\$([A-Za-z0-9+/]{43}=)", re.ASCII
)


class PasswordHash(NamedTuple):
    """The scrypt hash of a password, with all that is needed to check one against it.

    Attributes:
        log_n: Base-2 logarithm of scrypt's cost.
        r: scrypt's block size.
        p: scrypt's number of passes.
        salt: 16 random bytes.
        key: The hash, 32 bytes.
    """

    log_n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    @classmethod
    def of(cls, password: str, log_n: int = _LOG_N) -> PasswordHash:
        """Return a new hash of a password, with a new salt.

        Args:
            password: The password.
            log_n: Base-2 logarithm of scrypt's cost, at most 17. A smaller one makes guessing cheaper.
        """
        salt = os.urandom(_SALT_BYTES)
        return cls(log_n, _R, _P, salt, _scrypt(password, log_n, _R, _P, salt))

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Return the hash that `str` has written.

        Raises:
            ValueError: The text is no such hash, or its parameters are out of range.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("is no hash of a password; let `edge-inspect page-user add` write it")
        log_n, r, p = (int(found[i]) for i in (1, 2, 3))
        if not (1 <= log_n <= _LARGEST_LOG_N and 1 <= r <= _LARGEST_R and 1 <= p <= _LARGEST_P):
            raise ValueError(
                f"has parameters out of range; ln is at most {_LARGEST_LOG_N}, r at most {_LARGEST_R} and p at most "
                f"{_LARGEST_P}"
            )
        try:
            salt, key = (base64.b64decode(found[i], validate=True) for i in (4, 5))
        except binascii.Error as error:
            raise ValueError(f"is damaged: {error}") from error
        return cls(log_n, r, p, salt, key)

    def fits(self, password: str) -> bool:
        """Return whether this is the hash of the password. The time does not depend on where they differ."""
        return hmac.compare_digest(_scrypt(password, self.log_n, self.r, self.p, self.salt), self.key)

    def __str__(self) -> str:
        """Return the hash as the file of users keeps it."""
        salt, key = (base64.b64encode(part).decode() for part in (self.salt, self.key))
        return f"scrypt$ln={self.log_n},r={self.r},p={self.p}${salt}${key}"

    def __repr__(self) -> str:
        """Return nothing of the hash, because a repr may reach a log."""
        return "PasswordHash(...)"


DECOY = PasswordHash(_LOG_N, _R, _P, bytes(_SALT_BYTES), bytes(_KEY_BYTES))
"""A hash that no password fits. Checking against it takes as long as checking the password of a user."""


def check_new_password(password: str, name: str) -> None:
    """Refuse a password that is too easy to guess, or that could not be typed again.

    Args:
        password: The password.
        name: Name of the user whose password it becomes.

    Raises:
        ValueError: The password is refused. The message shows no part of it.
    """
    if len(password) < SHORTEST:
        raise ValueError(f"the password has fewer than {SHORTEST} characters; choose a longer one")
    if len(password) > LONGEST:
        raise ValueError(f"the password has more than {LONGEST} characters; choose a shorter one")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cn") for character in password):
        raise ValueError("the password holds a control character; choose one that can be typed")
    if len(set(password)) < 4 or password.casefold() in (name.casefold(), f"{name}{name}".casefold()):
        raise ValueError("the password is too easy to guess; choose one of several words")


def _scrypt(password: str, log_n: int, r: int, p: int, salt: bytes) -> bytes:
    # Two keyboards may write the same letter as different sequences of characters.
    typed = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    largest = 128 * r * (2**log_n + p + 2) + 2**20
    return hashlib.scrypt(typed, salt=salt, n=2**log_n, r=r, p=p, maxmem=largest, dklen=_KEY_BYTES)
