"""The progress of a whole run: never backwards, 100 % in the end, and the time left is what is left of every piece."""

import io
import os
import random
import re

import pytest

from splitbench.bench.utils import progress
from splitbench.bench.utils.progress import Piece, Report, RunProgress, Stages, beside, display
from splitbench.bench.utils.progress.relay import Outbox, inbox


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def planned(pieces, believed=True, workers=1, changed=lambda progress: None) -> RunProgress:
    run = RunProgress(changed)
    run.add(pieces, cells=len(pieces))
    run.begin(workers=workers, believed=believed)
    return run


def test_a_run_of_any_shape_never_goes_backwards_and_ends_at_100_percent():
    rng = random.Random(0)
    for _ in range(50):
        pieces = {str(n): Piece(rng.choice("abc"), rng.choice([0.0, 1.0, 50.0])) for n in range(rng.randint(1, 6))}
        pieces["before"] = Piece.stored("a", 20.0)
        fractions: list[float] = []

        def note(run: RunProgress, fractions: list[float] = fractions) -> None:
            fractions.append(run.fraction)

        run = planned(pieces, believed=rng.random() < 0.5, changed=note)
        clock = Clock()
        stages = Stages(run.note, clock)
        for key in [key for key in pieces if key != "before"]:
            for attempt in range(2):  # a worker that is lost begins anew
                with stages.piece(key, "training", 10), stages.show(5, "", "steps", worth=10) as stage:
                    for _ in range(rng.randint(0, 5) if attempt == 0 else 5):
                        clock.now += rng.uniform(0, 100)
                        stage.update()
                        assert (run.fraction <= 1 and (left := run.seconds_left) is None) or left >= 0
            run.end(key, cells=1)
        assert fractions == sorted(fractions) and fractions[-1] == 1.0 and run.seconds_left == 0.0


def test_the_time_left_is_the_sum_over_what_is_left_of_each_piece():
    run = planned({"a": Piece("training", 600.0), "b": Piece("training", 1200.0), "c": Piece("measuring", 60.0)})
    assert run.seconds_left == 1860.0  # the plan's
    run.note(Report("a", "training", done=0.5, seconds=600.0))  # twice as long as planned
    left = run.seconds_left
    assert left == pytest.approx(2 * 300 + 2 * 1200 + 60, rel=0.01)  # and passes are as they were
    assert run.fraction == pytest.approx(300 / 1860)
    run.note(Report("a", "training", done=1.0, seconds=1200.0))
    run.note(Report("b", "training", done=1.0, seconds=2400.0))
    assert run.seconds_left == pytest.approx(60.0)
    run.note(Report("c", "measuring", done=0.5, seconds=90.0))
    assert run.seconds_left == pytest.approx(90.0, rel=0.1)


def test_a_piece_that_is_slower_than_others_of_its_kind_goes_by_its_speed():
    run = planned({"a": Piece("measuring", 300.0), "b": Piece("measuring", 300.0), "c": Piece("measuring", 300.0)})
    run.note(Report("a", "", done=1.0, seconds=300.0))
    run.note(Report("b", "", done=0.5, seconds=450.0))
    kind = 750 / 450
    assert run.seconds_left == pytest.approx(450 + 300 * kind, rel=0.02)


def test_several_workers_share_the_work_but_no_piece():
    pieces = {str(n): Piece("measuring", 100.0) for n in range(8)}
    assert planned(pieces, workers=4).seconds_left == 200.0
    assert planned(pieces | {"long": Piece("training", 900.0)}, workers=4).seconds_left == 900.0


def test_nothing_is_estimated_before_something_is_known():
    run = RunProgress()
    run.note(Report("", "reading images"))
    assert run.seconds_left is None and run.fraction == 0.0
    other_machine = planned({"a": Piece("training", 100.0), "b": Piece("measuring", 10.0)}, believed=False)
    assert other_machine.seconds_left is None
    other_machine.note(Report("a", "training", done=0.5, seconds=1.0))  # 50 times as fast
    assert other_machine.seconds_left == pytest.approx(1.0 + 10 / 50, rel=0.05)


def test_what_is_stored_counts_as_done_and_costs_nothing():
    run = planned({"a": Piece.stored("training", 300.0), "b": Piece("training", 100.0)})
    assert run.fraction == 0.75 and run.seconds_left == 100.0
    clock = Clock()
    stages = Stages(run.note, clock)
    with stages.piece("b", "training", 10), stages.show(100, "", "steps", initial=50, worth=10) as stage:
        assert run.fraction == 0.875 and run.seconds_left == pytest.approx(50.0)  # resumed from its checkpoint
        clock.now = 5.0
        stage.update(10)
        kind = (5 + 3) / (10 + 3)  # half as long as planned, and 3 seconds' worth of the plan
        assert run.seconds_left == pytest.approx((100 - 60) * (5 + 3 * kind) / (10 + 3))


def test_what_failed_is_done_and_predicts_nothing():
    run = planned({"a": Piece("training", 100.0), "b": Piece("training", 100.0)})
    run.note(Report("a", "training", done=0.01, seconds=1.0))
    run.end("a")
    assert run.fraction == 0.5 and run.seconds_left == pytest.approx(100.0)


def test_only_what_counts_takes_the_time_of_a_piece():
    clock = Clock()
    reports: list[Report] = []
    stages = Stages(reports.append, clock)
    with stages.piece("a", "training unit", 6):
        clock.now += 100  # building it
        with stages.show(400, "reading", "images") as stage:
            clock.now += 50
            stage.update(200)
            assert reports[-1].text == "training unit, reading 200/400 images"
        with stages.show(12, "training", "steps", worth=6) as stage:
            clock.now += 2
            stage.set_description("epoch 2/6")
            stage.set_postfix({"loss": "0.5"})
            stage.update(3)
            assert reports[-1].text == "training unit, epoch 2/6, loss 0.5"
            with stages.piece("b", "preparing"), stages.show(1, "", "cells", worth=1) as inner:
                clock.now += 7
                inner.update()
                assert reports[-1] == Report("b", "preparing, 1/1 cells", done=1.0, seconds=7.0)
            assert reports[-1].text == "training unit, epoch 2/6, loss 0.5"
    ended = [report for report in reports if report.key and not report.text]
    assert ended == [Report("b", "", done=1.0, seconds=7.0), Report("a", "", done=0.25, seconds=2.0)]


def test_a_log_gets_a_line_every_half_minute_and_the_last_state():
    log, clock = io.StringIO(), Clock()
    lines = display._Lines(log, clock)
    run = RunProgress(lines.changed)
    run.note(Report("", "reading training images 3/20 images"))
    run.add({"a": Piece("training", 90.0), "b": Piece("measuring", 30.0)}, cells=2)
    run.begin(workers=1, believed=True)
    for step in range(1, 91):
        clock.now += 1
        run.note(Report("a", "training bottleneck lmbda=3 layer2, epoch 2/6", done=step / 90, seconds=step))
    run.end("a")
    clock.now += 30
    run.note(Report("b", "measuring", done=0.5, seconds=15.0))
    run.end("b", cells=2)
    lines.close(run)
    assert log.getvalue().splitlines() == [
        "planning: reading training images 3/20 images",
        "0 %, about 2 min left, 0/2 cells",
        "25 %, about 2 min left, 0/2 cells: training bottleneck lmbda=3 layer2, epoch 2/6",
        "50 %, about 1 min left, 0/2 cells: training bottleneck lmbda=3 layer2, epoch 2/6",
        "75 %, about 30 s left, 0/2 cells: training bottleneck lmbda=3 layer2, epoch 2/6",
        "87 %, about 15 s left, 0/2 cells: measuring",
        "100 %, 2/2 cells, done after 2 min",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("size", [(0, 0), (100, 0), (100, 30)])
def test_a_terminal_that_does_not_say_its_size_gets_the_line_too(size, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor=1: os.terminal_size(size))
    with progress.displayed() as run:
        run.add({"a": Piece("training", 1.0)}, cells=1)
        run.begin(workers=1, believed=True)
        run.end("a", cells=1)
    assert "1/1 cells, done" in terminal.getvalue()


def test_a_new_stage_is_shown_however_soon_it_comes(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(display, "_REDRAWN", 1e9)
    with progress.displayed() as run:
        run.add({"a": Piece("concluding", 1.0)})
        run.begin(workers=1, believed=True)
        with run.stages.piece("a", ""), run.stages.show(9, "comparing", "", worth=1) as stage:
            stage.update()
            stage.set_description("drawing figures")
            assert "11 %" in terminal.getvalue() and terminal.getvalue().rstrip().endswith("drawing figures")
            drawn = len(terminal.getvalue())
            stage.update()
            assert len(terminal.getvalue()) == drawn


def test_a_terminal_gets_one_line_that_is_drawn_over_itself(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(display, "_REDRAWN", 0.0)
    with progress.displayed() as run:
        run.add({"a": Piece("training", 90.0)}, cells=1)
        run.begin(workers=1, believed=True)
        run.note(Report("a", "training {braces}", done=0.5, seconds=45.0))
        beside(lambda message: terminal.write(f"{message}\n"))("a message")
        run.end("a", cells=1)
    states = [state.strip() for state in re.split(r"[\r\n]", terminal.getvalue()) if state.strip()]
    assert any(re.fullmatch(r" *50 %\|.*\| about 45 s left, 0/1 cells: training {braces}", state) for state in states)
    assert "a message" in states  # alone in its line
    assert re.fullmatch(r"100 %\|.*\| 1/1 cells, done after 1 s", states[-1])
    assert terminal.getvalue().count("\n") == 2  # the message's, and the last


class Notebook(io.StringIO):
    """Standard error in a notebook: no terminal, but a carriage return begins its last line again."""

    __module__ = "ipykernel.iostream"


def test_a_notebook_gets_a_line_that_is_drawn_over_itself_too(monkeypatch):
    cell = Notebook()
    monkeypatch.setattr("sys.stderr", cell)
    with progress.displayed() as run:
        run.add({"a": Piece("training", 90.0)}, cells=1)
        run.begin(workers=1, believed=True)
        run.end("a", cells=1)
    assert "\r" in cell.getvalue() and cell.getvalue().count("\n") == 1
    assert max(map(len, re.split(r"[\r\n]", cell.getvalue()))) <= 100 and "\x1b" not in cell.getvalue()


def test_quiet_is_quiet(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress.hidden(), progress.displayed() as run:
        run.add({"a": Piece("training", 90.0)})
        run.begin(workers=1, believed=True)
        run.end("a")
    assert terminal.getvalue() == ""


def test_a_run_that_is_stopped_says_so(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    with pytest.raises(KeyboardInterrupt), progress.displayed() as run:
        run.add({"a": Piece("training", 90.0)}, cells=3)
        run.begin(workers=1, believed=True)
        raise KeyboardInterrupt
    assert log.getvalue().splitlines()[-1] == "0 %, 0/3 cells, stopped after 1 s"


def test_reports_of_other_processes_arrive_and_what_is_no_report_is_left_out(tmp_path):
    run = planned({"a": Piece("training", 90.0), "b": Piece("training", 10.0)}, workers=2)
    folder = tmp_path / "unfinished" / "reports"
    report = Report("a", "training a, epoch 1/2", done=0.5, seconds=20.0)
    Outbox(folder)(report)  # no folder, no report, and no fault
    with inbox(folder, run) as received:
        Outbox(folder)(report)
        (folder / "broken.json").write_text("{")
        (folder / "of-another-version.json").write_text('{"key": "a", "spoons": 1}')
        received.look()
        assert run.fraction == pytest.approx(0.45) and run.text == "training a, epoch 1/2"
        run.note(Report("b", "training b"))
        assert run.text == "training a, epoch 1/2 (and 1 more)"
        run.end("a")
        run.note(report)  # late
        assert run.text == "training b" and run.fraction == 0.9
    assert not folder.exists()
