"""Who may connect, and who may do what: users with passwords or certificates, trusted programs, and roles.

Nothing can be written by anybody. Whoever is logged in may read; only operators and engineers may call methods that
send commands.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.crypto.permission_rules import USER_TYPES, PermissionRuleset, User, UserRole
from asyncua.server.user_managers import UserManager
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge_inspect.edge.mqtt.validity import date_problem
from edge_inspect.edge.opcua.certificates import TrustFolder, user_certificate
from edge_inspect.edge.opcua.settings import OpcuaSettings, nobody
from edge_inspect.edge.page.login_limits import LoginLimits, TooEarly
from edge_inspect.edge.page.passwords import DECOY, LONGEST
from edge_inspect.edge.page.roles import ROLES, Role
from edge_inspect.edge.page.users import Users
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

_WRITE = ua.ObjectIds.WriteRequest_Encoding_DefaultBinary
ANONYMOUS = "anonymous"
_LONGEST_NAME = 256


@dataclass
class Person(User):
    """Who has logged in.

    Attributes:
        rank: The role; `None`: nobody in particular, who may read only.
        by_password: Whether the person has shown a password, so that the file of users may change the role.
    """

    rank: Role | None = None
    by_password: bool = False

    def may(self, role: Role) -> bool:
        """Return whether the person has a role, or one that includes it."""
        return self.rank is not None and ROLES.index(self.rank) >= ROLES.index(role)


class Caller(NamedTuple):
    """Who calls a method, and from which address."""

    person: Person
    address: str


class Login(NamedTuple):
    """What is known of an attempt to log in beside what it shows: the type of the token, and the address."""

    token: type
    address: str


caller: ContextVar[Caller] = ContextVar("caller")
"""Who calls the method that is being carried out; `Session` sets it."""
login: ContextVar[Login] = ContextVar("login")
"""The attempt to log in that is being examined; `Session` sets it."""


class Access(UserManager):
    """Decides who may log in, and with which role. Used in the event loop's thread.

    Args:
        settings: The whole configuration of the server.

    Raises:
        ConfigurationError: A file or folder cannot be used.
    """

    def __init__(self, settings: OpcuaSettings) -> None:
        self.anonymous_read = settings.anonymous_read
        self._trust = TrustFolder(settings.trusted) if settings.trusted is not None else None
        self._users = Users(settings.users)
        self._limits = LoginLimits()
        self._by_certificate: dict[bytes, Person] = {}
        for i, user in enumerate(settings.certificate_users):
            certificate = user_certificate(f"certificate_users.{i}.certificate", user.certificate)
            self._by_certificate[certificate.public_bytes(Encoding.DER)] = _person(user.name, user.role)
        # A check of a password takes some tenths of a second, so the right ones are remembered, as keyed hashes.
        self._secret = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}
        if not (len(self._users) or self._by_certificate or self.anonymous_read):
            log.warning("%s", nobody(settings))

    @property
    def tokens(self) -> list[type]:
        """The types of identity tokens that are accepted."""
        found: list[type] = [ua.UserNameIdentityToken]
        if self._by_certificate:
            found.append(ua.X509IdentityToken)
        if self.anonymous_read:
            found.append(ua.AnonymousIdentityToken)
        return found

    def problem_with_client(self, certificate: bytes) -> str | None:
        """Return why a client program may not connect; `None` if it may.

        Args:
            certificate: Certificate of its secure channel, DER. The channel has proved that the program has the key.
        """
        if self._trust is None:
            return None
        try:
            return self._trust.problem(x509.load_der_x509_certificate(certificate))
        except ValueError as error:
            return f"its certificate cannot be read: {error}"

    def present(self, person: Person) -> Person:
        """Return a person with the role that the file of users gives now; a user who was removed has none."""
        if not person.by_password:
            return person
        user = self._users.get(person.name or "")
        return _person(person.name or "", user.role if user is not None else None, by_password=True)

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> Person | None:
        """Return who logs in; `None`: nobody who may."""
        attempt = login.get()
        if attempt.token is ua.UserNameIdentityToken:
            person = self._with_password(username or "", password or "", attempt.address)
        elif attempt.token is ua.X509IdentityToken:
            person = self._with_certificate(bytes(certificate), attempt.address)
        else:
            person = _person(ANONYMOUS, None) if self.anonymous_read else None
        if person is None:
            # A name that is not a user's may be a password that was typed into the wrong field.
            known = self._users.get(username or "")
            name = known.name if known is not None else "an unknown user"
            log.warning("%s: a login as %s is refused", clean(attempt.address), name)
        else:
            log.info("%s: %s is logged in", clean(attempt.address), person.name)
        return person

    def _with_certificate(self, certificate: bytes, address: str) -> Person | None:
        person = self._by_certificate.get(certificate)
        if person is not None and (problem := date_problem(x509.load_der_x509_certificate(certificate))):
            log.warning("%s: the certificate of the user %s %s", clean(address), person.name, problem)
            return None
        return person

    def _with_password(self, name: str, password: str, address: str) -> Person | None:
        if len(password) > LONGEST:
            return None
        name = name[:_LONGEST_NAME]
        user = self._users.get(name)
        digest = hmac.digest(self._secret, f"{name}\0{password}".encode(errors="surrogatepass"), hashlib.sha256)
        if user is not None:
            digest += user.fingerprint().encode()
            if hmac.compare_digest(self._right.get(name, b""), digest):
                return _person(name, user.role, by_password=True)
        try:
            with self._limits.one_attempt(name, address):
                right = (user.password if user is not None else DECOY).fits(password)
        except TooEarly as early:
            log.warning("%s: too many wrong passwords; the next is examined in %.0f s", clean(address), early.wait_s)
            return None
        if user is None or not right:
            self._limits.note_wrong(name, address)
            return None
        self._limits.note_right(address)
        self._right[name] = digest
        return _person(name, user.role, by_password=True)


class ReadAndCall(PermissionRuleset):
    """Allows reading, browsing, subscriptions and calls to whoever is logged in, and nobody to change the nodes."""

    def __init__(self) -> None:
        self._allowed = {ua.NodeId(each) for each in USER_TYPES if each != _WRITE}

    def check_validity(self, user: User, action_type: ua.NodeId, body: Any) -> bool:
        """Return whether a request may be carried out."""
        return action_type in self._allowed


def _person(name: str, rank: Role | None, *, by_password: bool = False) -> Person:
    return Person(role=UserRole.User, name=name, rank=rank, by_password=by_password)
