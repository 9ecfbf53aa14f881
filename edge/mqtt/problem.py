"""The problem of a connection, and the meaning of the broker's reason codes."""

from __future__ import annotations

from paho.mqtt.reasoncodes import ReasonCode

# Remedies for reason codes. These problems remain until a person acts, so they are retried slowly.
_REMEDIES = {
    0x84: "the broker does not support this version of MQTT: set mqtt.protocol to 3.1.1, or to auto",
    0x85: "the broker does not accept the client id: set mqtt.client_id to one that its rules allow",
    0x86: "check mqtt.username and the password file against the broker's user list",
    0x87: "check mqtt.username and the password file, and that the broker's access list lets this user publish",
    0x8A: "the broker bans this client: check its configuration",
    0x8C: "the broker requires another authentication method: use a password or a client certificate",
    0x8E: "another client uses this client id: check that no other box, nor a copy of this one, is the same station",
    0x90: "the broker does not accept this topic: check its access list",
    0x95: "raise the broker's limit for packets",
    0x97: "raise the broker's quota",
    0x99: "the broker checks payloads: let it accept JSON",
    0x9A: "the broker does not retain messages: set mqtt.retain to false, or let this user retain messages",
    0x9B: "the broker accepts QoS 0 only: let it accept QoS 1",
}
# These codes do not name a reason, and the problem may pass by itself.
_UNEXPLAINED = dict.fromkeys((0x80, 0x83), "see the broker's log for the reason")
# Codes of a broker that stops, is busy or over its quota, or lets another client in: the last message is not the
# reason.
_NOT_OF_A_MESSAGE = {0x00, 0x04, 0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x97, 0x98, 0x9C, 0x9D, 0x9F, 0xA0}


class ConnectionProblem(Exception):
    """A connection could not be made, or has ended. The message is for the log and contains no secret.

    Args:
        message: Sentence that says what happened.
        slow: Whether the problem will not pass by itself, so that the next attempt can wait.
        code: Reason code of the broker; `None` if it gave none.
        hung_up: Whether the broker closed the connection, or answered with bytes that are not MQTT, instead of being
            silent.
        of_message: Whether the last message may be the reason: the broker closed the connection or stopped answering.
    """

    def __init__(
        self,
        message: str,
        *,
        slow: bool = False,
        code: int | None = None,
        hung_up: bool = False,
        of_message: bool = False,
    ) -> None:
        super().__init__(message)
        self.slow = slow
        self.code = code
        self.hung_up = hung_up
        self.of_message = of_message


def refusal(what: str, reason: ReasonCode) -> ConnectionProblem:
    """Return the problem for a reason code of the broker; `what` says what the broker did."""
    return ConnectionProblem(
        f"{what}: {describe_reason(reason)}",
        slow=reason.value in _REMEDIES,
        code=reason.value,
        of_message=reason.value not in _NOT_OF_A_MESSAGE,
    )


def describe_reason(reason: ReasonCode) -> str:
    """Return a reason code in words, with the remedy."""
    remedy = _REMEDIES.get(reason.value) or _UNEXPLAINED.get(reason.value)
    return f"{reason.getName()} (0x{reason.value:02x})" + (f"; {remedy}" if remedy else "")
