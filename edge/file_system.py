"""The file system of a URL, such as s3://bucket/folder, by fsspec."""

from __future__ import annotations

from typing import Any

from edge_inspect.edge.errors import UsageError


def open_file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it without a slash at its end.

    Raises:
        UsageError: The package for this kind of URL is missing, or the URL is wrong.
        ImportError: fsspec is not installed.
    """
    import fsspec

    try:
        opened, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise UsageError(f"{url}: {error}; for s3:// pip install s3fs") from error
    except (ValueError, OSError) as error:
        raise UsageError(f"{url}: cannot be opened: {reason(error)}") from error
    return opened, str(path).rstrip("/")


def reason(error: Exception) -> str:
    """Return why a file system failed, without the path, which the message names by itself."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
