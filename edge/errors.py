"""What can go wrong, as the user sees it.

    EdgeInspectError           exit status 2 unless said otherwise
    ├── UsageError             the command line or a path it names is wrong
    ├── ConfigurationError     the configuration file: every mistake in one message
    ├── YamlError              a text is no YAML; whoever reads the file makes its own error of it, with the file's name
    ├── ImageError             a picture cannot be read
    ├── DataSetError           a folder of pictures does not have the layout asked for
    ├── CheckpointError        a checkpoint or a weight file cannot be used
    ├── BundleError            a bundle is damaged, incomplete or of another format
    │   └── SignatureError     a signature was asked for, and there is none or a wrong one
    ├── CameraError            a camera cannot be opened or stopped giving frames
    │   ├── CameraLost         the source is gone: it has to be opened again
    │   └── CameraIdle         nothing came in time, and nothing is wrong: the camera waits for its own trigger
    ├── TriggerError           a trigger is wrong, or what it needs is not there
    ├── EngineError            no engine can be built, or one failed
    │   └── DriftError         its maps are not finite, or not those of the golden frames
    ├── OutboxError            the outbox cannot be opened or written
    ├── DependencyError        a package or library that the program needs does not load (exit status 69)
    └── CheckFailed            everything ran, and a check did not hold (exit status 1)

A message says what was wrong, where (file, key, topic) and what to do about it. The command-line programs print it as
one line without a traceback; any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations


class EdgeInspectError(Exception):
    """The root of every error this project raises on purpose."""

    exit_status = 2


class UsageError(EdgeInspectError):
    """The command line, or a path it names, is wrong."""


class ConfigurationError(EdgeInspectError):
    """The configuration file does not say what it has to; the message lists every mistake."""


class YamlError(EdgeInspectError):
    """A text is no YAML, or says a key twice.

    Args:
        message: What is wrong, with the line and the remedy; without the file's name.
        in_keys: The text is YAML, and each line of the message is a mistake that begins with its key.
    """

    def __init__(self, message: str, *, in_keys: bool = False) -> None:
        super().__init__(message)
        self.in_keys = in_keys


class ImageError(EdgeInspectError):
    """A picture cannot be read."""


class DataSetError(EdgeInspectError):
    """A folder of pictures does not have the layout asked for."""


class CheckpointError(EdgeInspectError):
    """A checkpoint or a weight file cannot be used."""


class BundleError(EdgeInspectError):
    """A bundle is damaged, incomplete or of an unknown format."""


class SignatureError(BundleError):
    """A bundle's signature is missing, damaged, by another key or of another manifest."""


class CameraError(EdgeInspectError):
    """A camera cannot be opened, or stopped giving frames."""


class CameraLost(CameraError):
    """A camera that was open gives nothing any more until it is opened again."""


class CameraIdle(CameraError):
    """A camera gave nothing in time, and nothing says that it is gone."""


class TriggerError(EdgeInspectError):
    """A station's trigger is written wrong, or what it needs is not there."""


class EngineError(EdgeInspectError):
    """No engine can be built for the bundle on this box, or a running one failed."""


class DriftError(EngineError):
    """An engine's maps are not finite, or not those of the golden frames."""


class OutboxError(EdgeInspectError):
    """The outbox cannot be opened or written."""


class DependencyError(EdgeInspectError):
    """A package or library that the program needs is missing or does not load.

    Starting again does not help, so the units name this status in RestartPreventExitStatus.
    """

    exit_status = 69  # EX_UNAVAILABLE of sysexits.h


class CheckFailed(EdgeInspectError):
    """Everything ran, and a check did not hold."""

    exit_status = 1
