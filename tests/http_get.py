"""A request to a port of this machine, as a monitor makes it."""

from __future__ import annotations

import urllib.error
import urllib.request


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Return the status and the text of the answer; 0 and nothing where nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""
