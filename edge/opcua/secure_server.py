"""The OPC UA server with its security: encrypted endpoints only, sessions that belong to one connection."""

from __future__ import annotations

import logging
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession

from edge_inspect.edge import __version__
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.opcua.access import Access, Caller, Login, Person, ReadAndCall, caller, login
from edge_inspect.edge.opcua.certificates import server_certificate
from edge_inspect.edge.opcua.settings import OpcuaSettings
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

PRODUCT_URI = "urn:edge-inspect"
POLICIES = [
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
]
"""The endpoints that the server offers."""
_MOST_CONNECTIONS, _MOST_SUBSCRIPTIONS, _LONGEST_QUEUE = 100, 500, 2000
STRANGER = User(role=UserRole.Anonymous)
"""Whoever has not logged in yet."""
# SHA-1 and PKCS #1 v1.5 encryption are weaker than every policy that is offered.
_WEAK = ("#rsa-sha1", "#rsa-1_5")


class Session(InternalSession):
    """A session of a client. It says who calls a method, and refuses clients that are not trusted."""

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        """Let a user log in over the secure channel of a trusted client.

        Raises:
            ServiceError: The channel is not encrypted, or the client is not trusted.
        """
        address = _address(self.name)
        core = self.iserver
        assert isinstance(core, ServerCore)
        if peer_certificate is None:
            raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)
        if (problem := core.access.problem_with_client(peer_certificate)) is not None:
            log.warning("%s: a client is refused because of its certificate: %s", address, problem)
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)
        token = login.set(Login(type(params.UserIdentityToken), address))
        try:
            return super().activate_session(params, peer_certificate)
        finally:
            login.reset(token)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Carry out methods, which find in `access.caller` who calls them."""
        core, user = self.iserver, self.user
        assert isinstance(core, ServerCore) and isinstance(user, Person)
        token = caller.set(Caller(core.access.present(user), _address(self.name)))
        try:
            return await super().call(params)
        finally:
            caller.reset(token)


def _address(name: Any) -> str:
    """Return the address in the name that asyncua gives a session: the peer's address and port."""
    return clean(str(name[0] if isinstance(name, tuple) else name))


class ServerCore(InternalServer):
    """asyncua's services, without what lets a stranger into another client's session, or writes into the server.

    Args:
        access: Decides who may log in.
    """

    def __init__(self, access: Access) -> None:
        super().__init__(user_manager=access)
        self.access = access
        self.allow_remote_admin = False
        self.bind_condition_methods = True
        self.max_connections = _MOST_CONNECTIONS
        self.max_subscriptions = _MOST_SUBSCRIPTIONS
        self.max_monitored_item_queue_size = _LONGEST_QUEUE
        self.supported_tokens = tuple(access.tokens)

    def create_session(self, name: str, user: User = STRANGER, external: bool = False) -> InternalSession:
        """Return a session for a new client."""
        return Session(self, self.aspace, self.subscription_service, name, user=user, external=external)

    def lookup_external_session(self, auth_token: ua.NodeId) -> InternalSession | None:
        """Return no session to another connection.

        asyncua 2.1 would let the connection use the session also where its login is refused. A client that has lost its
        connection makes a new session.
        """
        return None

    def register_server(self, server: Any, conf: Any = None) -> None:
        """Refuse other servers: this one is no discovery server.

        Raises:
            ServiceError: Always.
        """
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    def decrypt_user_token(self, isession: Any, token: ua.UserNameIdentityToken) -> tuple[str, str]:
        """Return name and password of a token; see asyncua.

        Raises:
            ServiceError: The password is encrypted by a weak algorithm.
        """
        _refuse_weak(token.EncryptionAlgorithm)
        return super().decrypt_user_token(isession, token)

    def verify_x509_token(self, isession: Any, token: ua.X509IdentityToken, signature: ua.SignatureData) -> bytes:
        """Return the certificate of a token after checking its signature; see asyncua.

        Raises:
            ServiceError: The signature is of a weak algorithm.
        """
        _refuse_weak(signature.Algorithm)
        return super().verify_x509_token(isession, token, signature)


def _refuse_weak(algorithm: str | None) -> None:
    if algorithm is not None and algorithm.endswith(_WEAK):
        raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)


async def make_server(settings: OpcuaSettings, access: Access) -> Server:
    """Return a server that has its certificate and its endpoints, but no nodes of its own, and is not started.

    Raises:
        ConfigurationError: The certificate cannot be used.
    """
    made = server_certificate(settings)
    server = Server(iserver=ServerCore(access))
    await server.init()
    server.set_endpoint(settings.listen.url)
    server.set_server_name(f"edge-inspect {settings.name}")
    server.application_type = ua.ApplicationType.Server
    server.product_uri, server.manufacturer_name = PRODUCT_URI, "edge-inspect"
    await server.set_application_uri(settings.application_uri)
    await server.get_node(ua.NodeId(ua.ObjectIds.Server_ServerArray)).write_value([settings.application_uri])
    await server.set_build_info(PRODUCT_URI, "edge-inspect", server.name, __version__, "", utc_now())
    await server.load_certificate(made.certificate, "pem")
    await server.load_private_key(made.key, format="pem")
    server.set_security_policy(POLICIES, ReadAndCall())
    return server
