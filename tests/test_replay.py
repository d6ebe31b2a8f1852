"""`tokenhud replay`, `bench` and `compare` as typed, on an engine that says what a script says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tokenhud.__main__ import main
from tokenhud.engines.events import EngineError, Event, Loaded, Request, Stop
from tokenhud.engines.options import Spec
from tokenhud.sessions.bench.result import RAW, read_result

from .fakes import MODEL, Beat, ScriptedEngine, chat_with, words

ANSWER = "It was a bright cold day in April."


class Loading(ScriptedEngine):
    """Has weights of this hash; step `n` of all takes `ms(n)`."""

    def __init__(self, ms: Callable[[int], float], sha256: str = MODEL.sha256) -> None:
        self._steps_taken = 0
        self._ms = ms
        self._sha256 = sha256
        super().__init__(words(ANSWER))

    def load(self, spec: Spec) -> Iterator[Event]:
        for event in super().load(spec):
            if isinstance(event, Loaded):
                event = replace(event, model=replace(event.model, sha256=self._sha256))
            yield event

    def _steps(self, _script: object, room: int) -> Iterator[Event]:
        beats = [Beat(beat.pieces, ms=self._next()) for beat in words(ANSWER)]
        yield from super()._steps(beats, room)

    def _next(self) -> float:
        self._steps_taken += 1
        return self._ms(self._steps_taken)


def noisy(mean: float) -> Callable[[int], float]:
    """2 % up and down, differently in each pass."""
    return lambda step: mean * (1 + 0.02 * ((step * 7919) % 13 - 6) / 6)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[ScriptedEngine]:
    """What is put here is used, one for each command; the last one again and again."""
    found: list[ScriptedEngine] = []

    def take() -> ScriptedEngine:
        return found.pop(0) if len(found) > 1 else found[0]

    monkeypatch.setattr("tokenhud.tui.headless.experiments.ProcessEngine", take)
    monkeypatch.setattr("tokenhud.sessions.bench.running.IDLE", 0.0)
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path / "home"))
    return found


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """A saved chat of two messages."""
    spoken = chat_with(Loading(noisy(20)), tmp_path / "home" / "sessions")
    list(spoken.load())
    list(spoken.ask("How was the day?"))
    list(spoken.ask("/quit"))
    spoken.close()
    assert spoken.log.records
    (path,) = (tmp_path / "home" / "sessions").glob("*.jsonl")
    return path


def replayed(chat: Path, out: Path, *more: str) -> int:
    return main(["replay", str(chat), "--out", str(out), "--warmup", "1", *more])


def test_the_same_chat_twice_passes(engines, chat, tmp_path, capsys):
    engines[:] = [Loading(noisy(20)), Loading(noisy(20.1))]
    assert replayed(chat, tmp_path / "one") == 0
    assert replayed(chat, tmp_path / "two", "--baseline", str(tmp_path / "one")) == 0
    assert "pass" in capsys.readouterr().out.lower()


def test_a_slowdown_of_a_fifth_is_a_regression(engines, chat, tmp_path, capsys):
    engines[:] = [Loading(noisy(20)), Loading(noisy(25))]
    replayed(chat, tmp_path / "one")
    assert replayed(chat, tmp_path / "two", "--baseline", str(tmp_path / "one")) == 1
    assert "0.80" in capsys.readouterr().out


def test_two_samples_tell_nothing(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20))]
    replayed(chat, tmp_path / "one", "--runs", "2")
    again = replayed(chat, tmp_path / "two", "--runs", "2", "--baseline", str(tmp_path / "one"))
    assert again == 2


def test_another_model_is_not_comparable(engines, chat, tmp_path, capsys):
    engines[:] = [Loading(noisy(20)), Loading(noisy(20), sha256="ee" * 32)]
    replayed(chat, tmp_path / "one")
    assert replayed(chat, tmp_path / "two", "--baseline", str(tmp_path / "one")) == 3
    told = capsys.readouterr()
    assert "is not the model that answered in the chat" in told.err
    assert "can't be compared" in told.out


def test_the_chat_itself_as_baseline_has_too_few_samples(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20))]
    assert replayed(chat, tmp_path / "one", "--baseline", str(chat)) == 2


def test_the_texts_of_a_chat_are_asked_and_never_obeyed(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20))]
    replayed(chat, tmp_path / "one", "--runs", "1")
    asked = [request.messages for request in engines[0].requests]
    assert [each[-1].content for each in asked] == ["How was the day?", "/quit"] * 2
    assert [each.content for each in asked[-1]] == ["How was the day?", ANSWER, "/quit"]


def test_a_log_does_not_choose_the_file_that_is_loaded(engines, chat, tmp_path, capsys):
    text = chat.read_text("utf-8").replace('"model":"smollm2"', '"model":"/mnt/share/evil.gguf"')
    chat.write_text(text, "utf-8")
    engines[:] = [Loading(noisy(20))]
    assert replayed(chat, tmp_path / "one") == 3
    assert "Add --model /mnt/share/evil.gguf" in capsys.readouterr().err
    assert engines[0].requests == []
    assert replayed(chat, tmp_path / "two", "--model", "mine.gguf", "--runs", "1") == 0
    assert {each.spec.model for each in engines[0].requests} == {"mine.gguf"}


@pytest.mark.parametrize(
    ("usual", "name", "value"),
    [
        ('"url":""', "url", "https://evil.example"),
        ('"draft_model":"self"', "draft_model", "/mnt/share/evil"),
    ],
)
def test_a_log_chooses_neither_server_nor_draft_model(
    engines, chat, tmp_path, capsys, usual, name, value
):
    text = chat.read_text("utf-8")
    assert usual in text
    chat.write_text(text.replace(usual, f'"{name}":"{value}"'), "utf-8")
    engines[:] = [Loading(noisy(20))]
    assert replayed(chat, tmp_path / "one") == 3
    assert f"Add --{name.replace('_', '-')} {value}" in capsys.readouterr().err
    assert engines[0].requests == []


def test_a_model_that_was_set_in_mid_chat_is_not_loaded_either(engines, chat, tmp_path, capsys):
    lines = chat.read_text("utf-8").splitlines()
    at = next(n for n, line in enumerate(lines) if '"text":"/quit"' in line)
    evil = json.dumps({"seq": 99, "type": "setting", "name": "model", "value": "//share/evil.gguf"})
    chat.write_text("\n".join([*lines[:at], evil, *lines[at:]]), "utf-8")
    engines[:] = [Loading(noisy(20))]
    assert replayed(chat, tmp_path / "one") == 3
    assert "a log may not choose" in capsys.readouterr().err


def test_methods_take_turns_over_the_whole_chat(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20))]
    replayed(chat, tmp_path / "one", "--runs", "2", "-m", "recorded", "-m", "suffix")
    found = read_result(tmp_path / "one")
    assert found.methods == ("recorded", "suffix")
    assert found.case_names == ("turn 1", "turn 2")
    drafters = [each.spec.drafter for each in engines[0].requests]
    assert (
        drafters == ["plain"] * 2 + ["suffix"] * 2 + ["plain"] * 2 + ["suffix"] * 4 + ["plain"] * 2
    )


def test_results_lie_beside_each_other_in_every_form(engines, chat, tmp_path, capsys):
    engines[:] = [Loading(noisy(20))]
    assert replayed(chat, tmp_path / "one", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "one" / "result.json").read_text("utf-8"))
    assert printed == kept
    assert {RAW, "report.md", "samples.csv"} <= {p.name for p in (tmp_path / "one").iterdir()}


def test_two_methods_are_compared_in_turns(engines, tmp_path):
    engines[:] = [Loading(noisy(20))]
    how = ["--runs", "5", "--warmup", "0", "--out", str(tmp_path / "out")]
    assert main(["compare", "plain", "suffix", "code", *how]) == 0


def test_two_results_are_compared_without_running_anything(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20)), Loading(noisy(27))]
    replayed(chat, tmp_path / "one")
    replayed(chat, tmp_path / "two")
    engines.clear()
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 1
    assert main(["compare", str(tmp_path / "two"), str(tmp_path / "one")]) == 0
    metric = ["--metric", "ttft_ms", "--threshold", "50%"]
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two"), *metric]) == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("replay nothing", "There is no log nothing"),
        ("bench S9", "There is no prompt S9"),
        ("bench code -m sufix", "Did you mean suffix?"),
        ("bench --exact 12", "--exact takes two counts"),
        ("bench sweep gamma 2,4 code", "Plain decoding drafts nothing"),
        ("bench sweep color 1,2", "There is no setting color"),
        ("compare plain . code", "There is no result, log or session plain"),
        ("compare plain plain code", "is there twice"),
        ("bench --exact 0,5", "--exact takes two counts"),
        ("bench ~nobody/x.jsonl", "cannot be read"),
        ("compare drafters int8 code", "Compare two"),
        ("report /nowhere", "holds no result"),
        ("report", "No result is kept"),
        ("sessions show nothing", "nothing"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(engines, capsys, line, told):
    engines[:] = [Loading(noisy(20))]
    assert main(line.split()) == 3
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert engines[0].requests == []


def test_a_sweep_of_gamma_is_beside_plain_decoding(engines, tmp_path):
    engines[:] = [Loading(noisy(20))]
    how = ["--runs", "1", "--warmup", "0", "--out", str(tmp_path / "out")]
    assert main(["bench", "sweep", "gamma", "2,4", "code", "--drafter", "suffix", *how]) == 0
    assert read_result(tmp_path / "out").methods == ("plain", "gamma=2", "gamma=4")
    asked = [(each.spec.drafter, each.spec.gamma) for each in engines[0].requests]
    assert asked == [("plain", 4), ("suffix", 2), ("suffix", 4)]


def test_an_interrupted_command_says_how_to_go_on(engines, tmp_path, capsys):
    class Interrupted(Loading):
        def stream(self, request: Request) -> Iterator[Event]:
            for event in super().stream(request):
                if len(self.requests) == 3:
                    yield Stop(0, "cancelled")
                    return
                yield event

    engines[:] = [Interrupted(noisy(20)), Loading(noisy(20))]
    how = ["--runs", "3", "--warmup", "0", "--out", str(tmp_path / "out")]
    assert main(["bench", "code", "quote", *how]) == 3
    assert f"--out {tmp_path / 'out'} goes on" in capsys.readouterr().err
    assert main(["bench", "code", "quote", *how]) == 0
    assert len(engines[0].requests) == 4
    assert len(read_result(tmp_path / "out").measured) == 4  # the first of each sitting is cold


def test_reports_hold_all_that_is_kept(engines, tmp_path, capsys):
    engines[:] = [Loading(noisy(20))]
    main(["bench", "code", "--runs", "1", "--warmup", "1"])
    capsys.readouterr()
    assert main(["report", "--list"]) == 0
    assert "bench" in capsys.readouterr().out
    assert main(["report"]) == 0
    assert "code" in capsys.readouterr().out
    assert main(["report", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 1
    assert main(["report", "--out", str(tmp_path / "all.md")]) == 0
    assert (tmp_path / "all.md").read_text("utf-8").startswith("# Results")


def test_options_hold_in_every_turn_of_a_replay(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20))]
    replayed(chat, tmp_path / "one", "--runs", "1", "--drafter", "ngram", "--length", "3")
    assert {each.spec for each in engines[0].requests} == {Spec(drafter="ngram")}
    assert {each.sampling.length for each in engines[0].requests} == {3}


def test_nothing_measured_is_no_success(engines, tmp_path):
    engines[:] = [ScriptedEngine([EngineError("No.", "Do.")])]
    how = ["--runs", "3", "--out", str(tmp_path / "out")]
    assert main(["bench", "code", *how]) == 3


def test_a_bug_is_no_regression(engines, monkeypatch, capsys):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tokenhud.tui.headless.experiments.benchmark", broken)
    assert main(["bench", "code"]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert not engines


def test_of_several_files_the_worst_verdict_counts(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20)), Loading(noisy(27)), Loading(noisy(20))]
    replayed(chat, tmp_path / "one")
    how = ["--warmup", "1", "--baseline", str(tmp_path / "one"), "--out", str(tmp_path / "both")]
    assert main(["replay", str(chat), str(chat), *how]) == 1
    assert {path.name for path in (tmp_path / "both").iterdir()} == {"1", "2"}


def test_interrupting_one_file_leaves_the_others(engines, chat, tmp_path, capsys):
    class Interrupted(Loading):
        def stream(self, request: Request) -> Iterator[Event]:
            yield from super().stream(request)
            yield Stop(0, "cancelled")

    engines[:] = [Interrupted(noisy(20)), Loading(noisy(20))]
    assert main(["replay", str(chat), str(chat), "--out", str(tmp_path / "out")]) == 3
    assert len(engines) == 1  # the second was never opened
    assert f"--out {tmp_path / 'out'} goes on" in capsys.readouterr().err


def test_an_interrupted_replay_names_the_folder_that_it_chose(engines, chat, tmp_path, capsys):
    class Interrupted(Loading):
        def stream(self, request: Request) -> Iterator[Event]:
            yield from super().stream(request)
            yield Stop(0, "cancelled")

    engines[:] = [Interrupted(noisy(20))]
    assert main(["replay", str(chat)]) == 3
    (folder,) = (tmp_path / "home" / "results").iterdir()
    assert f"--out {folder} goes on" in capsys.readouterr().err


def test_results_may_go_to_the_working_folder(engines, tmp_path, monkeypatch):
    engines[:] = [Loading(noisy(20))]
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.txt").write_text("mine", "utf-8")
    monkeypatch.chdir(tmp_path / "here")
    assert main(["bench", "code", "--runs", "1", "--out", "."]) == 0
    assert (tmp_path / "here-2" / RAW).is_file()
    assert main(["report", str(tmp_path / "here-2"), "--out", "."]) == 0
    assert (tmp_path / "here" / "report.md").is_file()


def test_the_system_text_of_the_command_holds_in_every_turn(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20))]
    replayed(chat, tmp_path / "one", "--runs", "1", "--system", "Be brief.")
    assert {each.messages[0].content for each in engines[0].requests} == {"Be brief."}


def test_charts_can_be_svg(engines, chat, tmp_path):
    engines[:] = [Loading(noisy(20))]
    replayed(chat, tmp_path / "one", "--svg")
    assert list((tmp_path / "one").glob("*.svg"))
    assert not list((tmp_path / "one").glob("*.png"))
