"""The errors that users see.

    EdgeInspectError           exit status 2, unless stated otherwise
    ├── UsageError             the command line, or a path in it, is wrong
    ├── ConfigurationError     the configuration file has mistakes; the message lists all of them
    ├── YamlError              a text is no YAML; the reader of the file turns it into an error with the file's name
    ├── ImageError             a picture cannot be read
    ├── DataSetError           a folder of pictures does not have the expected layout
    ├── CheckpointError        a checkpoint or a weight file cannot be used
    ├── BundleError            a bundle is damaged, incomplete or of another format
    │   ├── SignatureError     a bundle must be signed, and its signature is missing or wrong
    │   └── PullError          a bundle cannot be fetched from a web server
    ├── CameraError            a camera cannot be opened, or gives no frame
    │   ├── CameraLost         a camera is gone, and has to be opened again
    │   └── CameraIdle         no frame came before the timeout, but the camera is fine: it waits for its own trigger
    ├── TriggerError           a trigger is written wrong, or a device or package that it needs is missing
    ├── EngineError            no engine can be built, or a running one failed
    │   └── DriftError         an engine's maps are not finite, or differ from those of the golden frames
    ├── OutboxError            the outbox cannot be opened or written
    ├── AuditError             the audit log of the page cannot be written or read
    ├── LabelError             the labels cannot be opened, written or exported
    ├── DependencyError        a required package or library does not load (exit status 69)
    └── CheckFailed            everything ran, but a check failed (exit status 1)

A message says what is wrong, where (file, key, topic) and what to do about it. The command-line programs print it as
one line without a traceback. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations


class EdgeInspectError(Exception):
    """The root of every error this project raises on purpose."""

    exit_status = 2


class UsageError(EdgeInspectError):
    """The command line, or a path in it, is wrong."""


class ConfigurationError(EdgeInspectError):
    """The configuration file has mistakes; the message lists all of them."""


class YamlError(EdgeInspectError):
    """A text is no YAML, or repeats a key.

    Args:
        message: What is wrong, with the line and the remedy, but without the file's name.
        in_keys: Whether each line of the message is a mistake that begins with its key; then the text is YAML.
    """

    def __init__(self, message: str, *, in_keys: bool = False) -> None:
        super().__init__(message)
        self.in_keys = in_keys


class ImageError(EdgeInspectError):
    """A picture cannot be read."""


class DataSetError(EdgeInspectError):
    """A folder of pictures does not have the expected layout."""


class CheckpointError(EdgeInspectError):
    """A checkpoint or a weight file cannot be used."""


class BundleError(EdgeInspectError):
    """A bundle is damaged, incomplete or of an unknown format."""


class SignatureError(BundleError):
    """A bundle's signature is missing, damaged, made with another key, or made for another manifest."""


class PullError(BundleError):
    """A bundle cannot be fetched from a web server, or what was fetched is not the bundle that was asked for."""


class CameraError(EdgeInspectError):
    """A camera cannot be opened, or gives no frame."""


class CameraLost(CameraError):
    """A camera that was open gives no more frames until it is opened again."""


class CameraIdle(CameraError):
    """A camera gave no frame before the timeout, but there is no sign that it is gone."""


class TriggerError(EdgeInspectError):
    """A station's trigger is written wrong, or a device or package that it needs is missing."""


class EngineError(EdgeInspectError):
    """No engine can be built for the bundle on this box, or a running one failed."""


class DriftError(EngineError):
    """An engine's maps are not finite, or differ from those of the golden frames."""


class OutboxError(EdgeInspectError):
    """The outbox cannot be opened or written."""


class AuditError(EdgeInspectError):
    """The audit log of the page cannot be written or read, so the action is refused."""


class LabelError(EdgeInspectError):
    """The store of labels cannot be opened, written or exported."""


class DependencyError(EdgeInspectError):
    """A required package or library is missing or does not load.

    Another start would not help, so the systemd units list this status in RestartPreventExitStatus.
    """

    exit_status = 69  # EX_UNAVAILABLE of sysexits.h


class CheckFailed(EdgeInspectError):
    """Everything ran, but a check failed."""

    exit_status = 1
