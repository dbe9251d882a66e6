"""What a row says of where it came from: device, versions, commit, date."""

import gc
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from splitbench.bench.utils.errors import UserError
from splitbench.bench.utils.text import format_count

_PACKAGES = ("splitbench", "torch", "torchvision", "timm", "numpy", "pillow")


def device(name: str) -> torch.device:
    """``cpu``, ``cuda``, ``cuda:1``, or ``auto``: CUDA where there is one.

    Raises:
        UserError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device {name!r}: DEVICE= (--device) takes cpu, cuda, cuda:N or auto") from None
    if chosen.type not in {"cpu", "cuda"}:
        raise UserError(f"device {name!r} is not supported: DEVICE= (--device) takes cpu, cuda, cuda:N or auto")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"DEVICE={name}, but PyTorch sees no GPU here: use DEVICE=cpu, or install a driver for the GPU")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        count = format_count(torch.cuda.device_count(), "GPU")
        raise UserError(f"DEVICE={name}, but PyTorch sees {count} here, numbered from 0")
    if chosen.type == "cuda":  # rows say float32: TF32 would be something else; and the same run gives the same rows
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return chosen


def device_name(chosen: torch.device) -> str:
    """``cpu``, or the GPU's name."""
    return torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "cpu"


def stopped(chosen: torch.device) -> bool:
    """Whether a GPU computes nothing any more in this process: after some errors CUDA refuses all until it ends."""
    if chosen.type == "cuda":
        try:
            torch.cuda.synchronize(chosen)
        except RuntimeError:
            return True
    return False


def refuse_stopped(chosen: torch.device, reason: str) -> None:
    """Raises UserError where a GPU has stopped. ``reason`` is how that was noticed."""
    if stopped(chosen):
        raise UserError(
            f"the GPU stopped working ({reason}): run the same command again, it goes on from there; if it stops there "
            "again, leave the method out by METHODS= (--method)"
        )


def processor(chosen: torch.device) -> str:
    """What rounded the sums: the GPU's name, or the CPU's and the instructions that PyTorch uses on it."""
    return _cpu() if chosen.type == "cpu" else device_name(chosen)


@cache
def _cpu() -> str:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # only Linux has it
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


@cache
def versions() -> str:
    """Of all packages that can change results."""
    return " ".join(f"{package}={version(package)}" for package in _PACKAGES)


@cache
def commit() -> str | None:
    """Of splitbench's own checkout, with ``+`` where it has changes; None where it is installed from a wheel."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(here), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def forget(chosen: torch.device) -> None:
    """Give back a device's memory that nothing uses any more: modules and traced graphs refer to themselves."""
    gc.collect()
    if chosen.type == "cuda":
        with suppress(RuntimeError):  # a GPU that stopped working
            torch.cuda.empty_cache()


def columns(chosen: torch.device) -> dict[str, str | None]:
    """What a row tells of the process that measured it."""
    return {
        "device": device_name(chosen),
        "image_decoder": image_decoder(),
        "versions": versions(),
        "commit": commit(),
    }


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def image_decoder() -> str:
    """The library that decodes pictures."""
    return f"pillow {version('pillow')}"
