"""Downloads one file over HTTP: goes on where an earlier try stopped, and tells in a sentence why it cannot."""

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from splitbench.bench.utils import progress
from splitbench.bench.utils.errors import UserError

_BLOCK = 1 << 20
_TIMEOUT = 30
"""Seconds without a byte."""
_TRIES = 5
"""In a row, without a byte more."""


def partial(file: Path) -> Path:
    """Where a file lies until all of it is there."""
    return file.with_name(f"{file.name}.part")


def remote_size(url: str) -> int | None:
    """A file's bytes as its server tells them, None where it does not.

    Raises:
        UserError: no connection, or the server has no such file.
    """
    try:
        with _open(url, "HEAD") as response:
            return int(response.headers.get("Content-Length", "")) or None
    except ValueError:
        return None
    except urllib.error.HTTPError as error:
        if error.code in (405, 501):  # a server that knows no HEAD
            return None
        raise _refused(url, error) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, error) from None


def download(url: str, file: Path, size: int, wait: float = 2.0) -> None:
    """Download ``url`` to ``file``; what has come so far lies in :func:`partial` and is not asked for again.

    A server that cannot send the rest of a file sends it from the start. A broken connection is tried again.

    Args:
        url: An http or https address.
        file: Moved into place when all of its bytes are there.
        size: How many bytes there must be.
        wait: Seconds before going on where a connection broke; doubled for each try in a row that brought nothing.

    Raises:
        UserError: no connection after several tries, no such file, more bytes than ``size``, or no place for them.
    """
    part = partial(file)
    failed, most = 0, _length(part)
    with progress.bar(total=size, desc=file.name, unit="B", unit_scale=True) as bar:
        while _length(part) != size:
            try:
                _go_on(url, part, size, bar)
                reason: Exception = http.client.IncompleteRead(b"")
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    raise _refused(url, error) from None
                reason = error
            except (urllib.error.URLError, _BrokenError) as error:
                reason = error
            except OSError as error:
                raise UserError(f"cannot write {part} ({error.strerror})") from None
            come = _length(part)
            if come == size:
                break
            # Against the most ever, as a server without ranges starts anew each time and may never get further.
            failed = 0 if come > most else failed + 1
            most = max(most, come)
            if failed == _TRIES:
                raise _unreachable(url, reason)
            time.sleep(wait * 2**failed)
        bar.update(size - bar.n)
    part.replace(file)


class _BrokenError(Exception):
    """The connection broke while the file came in."""


def _go_on(url: str, part: Path, size: int, bar: Any) -> None:
    start = _length(part)
    if start > size:
        start = 0
    with _open(url, "GET", start) as response:
        # A server without ranges answers 200 with the whole file; another start than the one asked for is of no use.
        if start and not (response.status == 206 and _starts_at(response, start)):
            if response.status == 206:
                raise UserError(f"{url}: the server sends another part than the one asked for; remove {part}")
            start = 0
        bar.update(start - bar.n)
        with part.open("ab" if start else "wb") as stream:
            while block := _read(response):
                if stream.tell() + len(block) > size:
                    raise UserError(f"{url} sends more than the {size:,} bytes that it should have: another file")
                stream.write(block)
                bar.update(len(block))


def _read(response: Any) -> bytes:
    """What has come in, at most a block: reading whole blocks would lose what comes before a connection breaks."""
    try:
        content: bytes = response.read1(_BLOCK)
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
        f"cannot download {url} ({reason}): this needs internet; what has come so far is kept, and the same command "
        f"goes on from there; or get {name} elsewhere, put it into the folder, and give the same command again"
    )
