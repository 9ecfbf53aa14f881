"""A connection's problem, and what a reason code of the broker means."""

from __future__ import annotations

from paho.mqtt.reasoncodes import ReasonCode

# What a person can do about a reason code. These do not pass by themselves, so they are retried slowly.
_REMEDIES = {
    0x84: "the broker does not speak this MQTT: set mqtt.protocol to 3.1.1, or to auto",
    0x85: "another client id is wanted: set mqtt.client_id as the broker's rules ask",
    0x86: "check mqtt.username and the password file against the broker's user list",
    0x87: "check mqtt.username and the password file, and that the broker's access list lets this user publish",
    0x8A: "the broker bans this client: look at its configuration",
    0x8C: "the broker wants another way of authentication: use a password or a client certificate",
    0x8E: "another client uses this client id: see that no other box, nor a copy of this one, is the same station",
    0x90: "the broker does not take this topic: look at its access list",
    0x95: "raise the broker's limit for packets",
    0x97: "raise the broker's quota",
    0x99: "the broker checks payloads: let it take JSON",
    0x9A: "the broker keeps no retained messages: set mqtt.retain to false, or let this user retain",
    0x9B: "the broker takes QoS 0 only: let it take QoS 1",
}
# These tell nothing, and may pass by themselves.
_UNEXPLAINED = dict.fromkeys((0x80, 0x83), "the broker's log may say why")
# A broker that stops, is busy or over its quota, or lets another client in, does not mind what was sent last.
_NOT_OF_A_MESSAGE = {0x00, 0x04, 0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x97, 0x98, 0x9C, 0x9D, 0x9F, 0xA0}


class ConnectionProblem(Exception):
    """A connection could not be made, or ended; the message is for the log and holds no secret.

    Args:
        message: what happened.
        slow: it will not pass by itself, so the next attempt can wait.
        code: the broker's reason code; `None` where it gave none.
        hung_up: the broker ended the connection, or answered with bytes that are no MQTT; it was not silent.
        of_message: what was sent last may be why: the broker hung up, or answered no more.
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
    """Return the problem that a reason code of the broker means."""
    return ConnectionProblem(
        f"{what}: {describe_reason(reason)}",
        slow=reason.value in _REMEDIES,
        code=reason.value,
        of_message=reason.value not in _NOT_OF_A_MESSAGE,
    )


def describe_reason(reason: ReasonCode) -> str:
    """Return a reason code in words, with what can be done about it."""
    remedy = _REMEDIES.get(reason.value) or _UNEXPLAINED.get(reason.value)
    return f"{reason.getName()} (0x{reason.value:02x})" + (f"; {remedy}" if remedy else "")
