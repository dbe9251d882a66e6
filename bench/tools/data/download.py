"""Download one file over HTTP: resumes an earlier try, and raises a sentence where it cannot."""

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError

BLOCK = 1 << 20
"""Bytes that are read at a time."""
_TIMEOUT = 30
"""Seconds without a byte."""
_TRIES = 5
"""In a row, each without a new byte."""


def partial(file: Path) -> Path:
    """Return where a file lies until it is complete."""
    return file.with_name(f"{file.name}.part")


def remote_size(url: str) -> int | None:
    """Return the bytes of a file as its server reports them, None where it does not.

    Raises:
        UserError: No connection, or the server has no such file.
    """
    try:
        with _open(url, "HEAD") as response:
            return int(response.headers.get("Content-Length", "")) or None
    except ValueError:
        return None
    except urllib.error.HTTPError as error:
        if error.code in (405, 501):  # a server without HEAD
            return None
        raise _refused(url, error) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, error) from None


def download(url: str, file: Path, size: int, *, wait: float = 2.0, block: int = BLOCK) -> None:
    """Download ``url`` to ``file``; received bytes lie in :func:`partial` and are not requested again.

    A server that cannot send the rest of a file sends it from the start. A broken connection is retried.

    Args:
        url: An http or https address.
        file: Moved into place when all of its bytes are there.
        size: How many bytes there must be.
        wait: Seconds before a retry; doubled for each try in a row that brought nothing.
        block: Bytes to read at a time, at most.

    Raises:
        UserError: No connection after several tries, no such file, more bytes than ``size``, or no space for them.
    """
    part = partial(file)
    failed, most = 0, _length(part)
    with progress.bar(total=size, desc=file.name, unit="B", unit_scale=True) as bar:
        while _length(part) != size:
            try:
                _resume(url, part, size, block=block, bar=bar)
                reason: Exception = http.client.IncompleteRead(b"")
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    raise _refused(url, error) from None
                reason = error
            except (urllib.error.URLError, _BrokenError) as error:
                reason = error
            except OSError as error:
                raise UserError(f"cannot write {part} ({error.strerror})") from None
            received = _length(part)
            if received == size:
                break
            # Against the most ever received: a server without ranges starts anew each time and may never get further.
            failed = 0 if received > most else failed + 1
            most = max(most, received)
            if failed == _TRIES:
                raise _unreachable(url, reason)
            time.sleep(wait * 2**failed)
        bar.update(size - bar.n)
    part.replace(file)


class _BrokenError(Exception):
    """The connection broke during the transfer."""


def _resume(url: str, part: Path, size: int, *, block: int, bar: Any) -> None:
    start = _length(part)
    if start > size:
        start = 0
    with _open(url, "GET", start) as response:
        # A server without ranges answers 200 with the whole file; a part with another start is useless.
        if start and not (response.status == 206 and _starts_at(response, start)):
            if response.status == 206:
                raise UserError(f"{url}: the server sends another part than requested; remove {part}")
            start = 0
        bar.update(start - bar.n)
        with part.open("ab" if start else "wb") as stream:
            while data := _read(response, block):
                if stream.tell() + len(data) > size:
                    raise UserError(f"{url} sends more than the {size:,} bytes that it should have: another file")
                stream.write(data)
                bar.update(len(data))


def _read(response: Any, block: int) -> bytes:
    """Return what has come in, at most a block: waiting for whole blocks would lose bytes where a connection breaks."""
    try:
        content: bytes = response.read1(block)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(str(error) or type(error).__name__) from None
    return content


def _open(url: str, method: str, start: int = 0) -> Any:
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url}: expected an address that starts with http:// or https://")
    headers = {"User-Agent": "splitbench"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - checked above
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310 - checked above
    except urllib.error.URLError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise urllib.error.URLError(str(error) or type(error).__name__) from None


def _starts_at(response: Any, start: int) -> bool:
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _refused(url: str, error: urllib.error.HTTPError) -> UserError:
    return UserError(f"{url}: the server answers {error.code} {error.reason}")


def _unreachable(url: str, error: Exception) -> UserError:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    name = url.rsplit("/", 1)[-1]
    return UserError(
        f"cannot download {url} ({reason}): this needs internet; what has been received is kept, and the same command "
        f"resumes from there; or get {name} elsewhere, put it into the folder, and run the same command again"
    )
