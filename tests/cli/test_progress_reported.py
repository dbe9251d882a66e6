"""What a user is shown of work that takes its time: what is being done, how far it is, what an estimate rests on."""

from tests.helpers.command_line import splitbench
from tests.helpers.small_sweep import SMALL


def test_costs_are_counted_while_they_are_measured_and_nothing_is_said_of_weights_that_are_all_0(tmp_path, capsys):
    sweep = tmp_path / "small.yaml"
    sweep.write_text(SMALL, encoding="utf-8")
    assert splitbench("run", sweep, "--out", tmp_path / "run") == 0
    messages = capsys.readouterr()
    assert "measuring costs: 100%" in messages.err and "2/2" in messages.err
    assert "no panel" not in messages.out


def test_an_estimate_says_what_it_rests_on(tmp_path, capsys):
    sweep = tmp_path / "small.yaml"
    sweep.write_text(SMALL, encoding="utf-8")
    assert splitbench("validate", sweep) == 0
    assert (
        "by the time that one image takes (median of 3) on this machine, as busy as it is now"
        in capsys.readouterr().out
    )
