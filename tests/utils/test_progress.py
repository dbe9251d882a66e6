"""Progress in a file or a CI's log: a line per state, and few of them."""

import io
import re
import sys

import pytest

from splitbench.bench.utils import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_file_gets_the_first_state_and_the_last(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    for _ in progress.track(range(200), "working", "steps"):
        pass
    first, last = log.getvalue().splitlines()
    assert first.startswith("working:   0%") and "0/200" in first
    assert last.startswith("working: 100%") and "200/200" in last


def test_between_them_one_now_and_then(monkeypatch):
    log, clock = io.StringIO(), iter(range(10_000))
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr("splitbench.bench.utils.progress.bars.time.monotonic", lambda: next(clock))
    with progress.bar(total=1000, desc="working", leave=False) as bar:
        for _ in range(200):
            bar.update()
            bar.set_description("still working")
    assert 4 <= len(log.getvalue().splitlines()) <= 12
    assert all(line.startswith(("working", "still working")) for line in log.getvalue().splitlines())


@pytest.mark.parametrize("leave", [True, False])
def test_a_terminal_gets_a_bar_that_is_drawn_over_itself(monkeypatch, leave):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.bar(total=2, desc="working", leave=leave) as bar:
        bar.refresh()
    assert "\r" in terminal.getvalue() and terminal.getvalue().count("\n") == leave


class Screen(Terminal):
    """A terminal that knows what tqdm uses: carriage returns, new lines, and a line up."""

    def screen(self):
        lines, row, column = [""], 0, 0
        for sign in re.findall(r"\x1b\[A|.", self.getvalue(), re.DOTALL):
            if sign == "\r":
                column = 0
            elif sign == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif sign == "\x1b[A":
                row -= 1
            else:
                lines[row] = lines[row][:column].ljust(column) + sign + lines[row][column + 1 :]
                column += 1
        return [line.strip() for line in lines if line.strip()]


def test_a_bar_within_another_is_wiped_when_it_ends_and_leaves_the_other_alone(monkeypatch):
    terminal = Screen()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.bar(4, "sweep", ncols=60, file=terminal) as sweep:
        for _ in range(2):
            with progress.bar(3, "training", ncols=60, file=terminal) as training:
                for _ in range(3):
                    training.update()
                training.refresh()
                assert [line.split(":")[0] for line in terminal.screen()] == ["sweep", "training"]
            sweep.refresh()
            (line,) = terminal.screen()
            assert line.startswith("sweep:")
