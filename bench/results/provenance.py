"""Where a row comes from: device, versions, commit and date."""

import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from splitbench.bench.utils import devices

_PACKAGES = ("splitbench", "torch", "torchvision", "timm", "numpy", "pillow")


def columns(device: torch.device) -> dict[str, str | None]:
    """Return the columns that describe the process that measured a row."""
    return {
        "device": devices.display_name(device),
        "image_decoder": image_decoder(),
        "versions": versions(),
        "commit": commit(),
    }


def processor(device: torch.device) -> str:
    """Return what rounded the sums: the GPU's name, or the CPU's and the instruction set that PyTorch uses on it."""
    return _cpu() if device.type == "cpu" else devices.display_name(device)


@cache
def _cpu() -> str:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # only Linux has it
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


@cache
def versions() -> str:
    """Return the versions of all packages that can change results."""
    return " ".join(f"{package}={version(package)}" for package in _PACKAGES)


@cache
def commit() -> str | None:
    """Return the commit of splitbench's checkout, with ``+`` where it has changes; None for an installed wheel."""
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


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def image_decoder() -> str:
    """Return the library that decodes images, with its version."""
    return f"pillow {version('pillow')}"
