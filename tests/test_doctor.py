"""What the doctor says of a machine, and what it never says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from tokenhud.__main__ import main
from tokenhud.engines.events import EngineError, Event, Loaded, Progress, Stop
from tokenhud.engines.options import Spec
from tokenhud.sessions.chat import Chat
from tokenhud.sessions.doctor import machine, places, program, terminal
from tokenhud.sessions.doctor.check import Check, exit_status
from tokenhud.sessions.doctor.engine import secret, self_test
from tokenhud.sessions.doctor.examine import examine
from tokenhud.sessions.gpu import Gpu
from tokenhud.tui.commands.doctor import DOCTOR
from tokenhud.tui.commands.grammar import Live, Said
from tokenhud.tui.headless.doctor_words import line, summary

from .fakes import ScriptedEngine, chat_with, words

WINDOW = terminal.Window(True, (100, 30), "utf-8")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TOKENHUD_API_KEY", "OPENAI_API_KEY", "TOKENHUD_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOKENHUD_CACHE", str(tmp_path / "cache"))
    return tmp_path


def no_gpu() -> Gpu:
    def lacking() -> None:
        raise OSError("no driver")

    return Gpu(lacking)


class Unloadable(ScriptedEngine):
    def load(self, spec: Spec) -> Iterator[Event]:  # noqa: ARG002
        yield Stop(0, "error", what="No file.", remedy="Fetch it.")


def named(checks: Iterable[Check], name: str) -> Check:
    return next(each for each in checks if each.name == name)


def examined(chat: Chat) -> list[Said]:
    job = DOCTOR[0].run(chat, ()).job
    assert job
    return list(job())


def test_a_sound_machine_has_no_fault() -> None:
    found = list(examine(no_gpu()))
    assert [each for each in found if each.state == "fault"] == []
    assert {"python", "packages", "torch", "memory", "model", "cache", "sessions"} <= {
        each.name for each in found
    }
    assert named(found, "gpu") == Check("gpu", "gpu", "note", "No GPU is used: no driver.")
    assert all(each.remedy for each in found if each.state in ("warn", "fault"))


def test_nothing_is_made_and_torch_is_not_imported(home: Path) -> None:
    list(examine(no_gpu()))
    assert not (home / "home").exists()
    assert not (home / "cache").exists()
    code = (
        "import sys; from tokenhud.sessions.doctor.examine import examine\n"
        "from tokenhud.sessions.gpu import Gpu\n"
        "list(examine(Gpu())); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("installed", "versions", "enough"),
    [
        ("8.2.8", "<9,>=8.2.8", True),
        ("9.0", "<9,>=8.2.8", False),
        ("8.2", "<9,>=8.2.8", False),
        ("2.13.0+cpu", ">=2.6", True),
        ("0.3.4", ">=0.3.36", False),
        ("1.0", "", True),
        ("odd", ">=1", False),
    ],
)
def test_versions_are_held_against_their_bounds(installed, versions, enough) -> None:
    assert program.meets(installed, versions) is enough


def test_what_is_missing_comes_with_the_command_that_installs_it(monkeypatch) -> None:
    wanted = ["textual>=99", "gguf>=0.17", 'bitsandbytes>=0.48; extra == "bnb"']
    monkeypatch.setattr(program, "requires", lambda _: wanted)
    has = {"textual": "8.2.8", "torch": "2.13.0"}
    monkeypatch.setattr(program, "version", lambda name: has.get(name, ""))
    found = list(program.program())
    assert named(found, "textual").said == "It is 8.2.8, and >=99 is needed."
    assert named(found, "gguf").remedy == "pip install 'gguf>=0.17'"
    extra = named(found, "bnb")
    assert (extra.state, extra.remedy) == ("note", "pip install 'tokenhud[bnb]'")
    assert exit_status(found) == 3


def test_an_extra_that_is_asked_for_is_one_that_there_is() -> None:
    offered = {each.extra for each in program.requirements()} - {"", "dev"}
    assert offered == set(program.EXTRAS)


def test_a_folder_that_cannot_be_written_is_told_with_the_way_out(monkeypatch) -> None:
    monkeypatch.setenv("TOKENHUD_HOME", "/dev/null/home")
    monkeypatch.setenv("TOKENHUD_CACHE", "/dev/null/cache")
    found = list(places.places())
    assert named(found, "sessions").said.startswith("/dev/null is no folder: a chat is not saved")
    assert named(found, "cache").remedy == "Name another folder in TOKENHUD_CACHE."
    assert {named(found, name).state for name in ("sessions", "results", "config")} == {"warn"}


def test_a_full_disk_is_a_fault_until_the_model_is_converted(home: Path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    assert named(places.places(), "cache").state == "fault"
    ready = home / "cache" / "gguf-0-1"
    ready.mkdir(parents=True)
    (ready / "model.safetensors").touch()
    assert named(places.places(), "cache").state == "ok"
    assert named(places.places(), "sessions").state == "warn"


def test_a_fault_in_the_config_file_is_told(home: Path) -> None:
    (home / "home").mkdir()
    (home / "home" / "config.toml").write_text("[settings]\nlenght = 5\n")
    found = named(places.places(), "config")
    assert found.state == "warn"
    assert "lenght" in found.said


@pytest.mark.parametrize(
    ("environ", "window", "name", "state"),
    [
        ({"TERM": "dumb"}, WINDOW, "terminal", "warn"),
        ({"TERM": "xterm"}, WINDOW, "colours", "note"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, WINDOW, "colours", "ok"),
        ({"TERM": "xterm"}, terminal.Window(True, (60, 20), "utf-8"), "size", "warn"),
        ({"TERM": "xterm"}, terminal.Window(True, (80, 24), "latin-1"), "encoding", "warn"),
        ({"TERM": "xterm", "STY": "1"}, WINDOW, "clipboard", "note"),
        ({}, terminal.Window(False, (0, 0), ""), "terminal", "note"),
    ],
)
def test_a_terminal_is_told_by_what_it_lacks(environ, window, name, state) -> None:
    assert named(terminal.terminal(environ, window), name).state == state


def test_what_lies_between_is_told() -> None:
    found = terminal.terminal({"TERM": "screen", "STY": "1", "SSH_TTY": "/dev/pts/1"}, WINDOW)
    assert named(found, "way").said == "over SSH, in GNU screen."


def test_a_processor_without_wide_registers_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    cpuinfo = tmp_path / "proc" / "cpuinfo"
    cpuinfo.write_text("model name : Old\nflags : sse2\n")
    assert named(machine.machine(no_gpu(), {}, tmp_path), "processor").state == "warn"
    cpuinfo.write_text("model name : New\nflags : sse2 avx2 avx512f\n")
    found = list(machine.machine(no_gpu(), {"OMP_NUM_THREADS": "999"}, tmp_path))
    assert named(found, "processor").said == "New; AVX-512."
    assert named(found, "threads").state == "note"


def test_a_key_is_never_shown(monkeypatch) -> None:
    monkeypatch.setenv("TOKENHUD_API_KEY", "sk-very-secret")
    (found,) = secret(Spec(url="https://gpu1"))
    assert found.said == "One is sent, from TOKENHUD_API_KEY."
    monkeypatch.setenv("TOKENHUD_API_KEY", "sk-very\x1bsecret")
    (wrong,) = secret(Spec(url="https://gpu1"))
    assert wrong.state == "fault"
    assert "secret" not in str(wrong)
    assert list(secret(Spec())) == []


def test_the_engine_answers_twice_and_its_speed_is_told() -> None:
    engine = ScriptedEngine(words("a b c"), progress=[Progress(0, "Unpacking", 1, 2)])
    told = list(self_test(engine, Spec()))
    assert isinstance(told[0], Progress)
    assert isinstance(told[1], Loaded)
    load, first, again = (each for each in told if isinstance(each, Check))
    assert load.said == "Script by native, float32, cpu: 50 ms, 1.0 MiB."
    assert first.said == "3 tokens, TTFT 125 ms, 40.0 tok/s, cold."
    assert again.said == "3 tokens, TTFT 125 ms, 40.0 tok/s."


def test_an_engine_that_fails_is_a_fault_with_its_remedy() -> None:
    engine = ScriptedEngine([EngineError("It broke.", "Mend it.")])
    *_, last = self_test(engine, Spec())
    assert last == Check("engine", "answer", "fault", "It broke.", "Mend it.")
    assert list(self_test(Unloadable(), Spec())) == [
        Check("engine", "load", "fault", "No file.", "Fetch it.")
    ]


def test_the_command_prints_every_check_and_what_would_be_faster(capsys) -> None:
    assert main(["doctor", "--quick"]) == 0
    said = capsys.readouterr().out
    assert "ok    python       It is " in said
    assert "Suggestions" in said
    assert said.rstrip().splitlines()[-1] in ("All is well.", "1 warning.", "2 warnings.")


def test_a_fault_is_the_exit_status_and_json_has_it_all(capsys, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    assert main(["doctor", "--quick", "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["exit_status"] == 3
    assert "fault" in {each["state"] for each in said["checks"]}
    assert {"sentence", "command", "basis"} == set(said["suggestions"][0])


def test_a_remedy_stands_alone_on_its_line() -> None:
    check = Check("files", "cache", "warn", "Full.", "Make room.")
    assert line(check).splitlines() == ["WARN  cache        Full.", f"{'':19}→ Make room."]
    assert summary([check, check]) == "2 warnings."


def test_in_a_chat_the_list_grows_and_the_chat_s_own_engine_is_looked_at(tmp_path: Path) -> None:
    with chat_with(ScriptedEngine(words("a b c")), tmp_path) as chat:
        for _ in (*chat.load(), *chat.ask("one"), *chat.ask("two")):
            pass
        told = examined(chat)
    lists = [each.text for each in told if isinstance(each, Live)]
    assert all(later.startswith(before) for before, later in pairwise(lists))
    assert "Script by native" in lists[-1]
    assert "40.0 tok/s over 1 answer of this chat." in lists[-1]
    assert str(told[-1]).startswith("Suggestions")


def test_in_a_chat_what_cannot_be_loaded_is_a_fault(tmp_path: Path) -> None:
    with chat_with(Unloadable(), tmp_path) as chat:
        *_, seen, end = examined(chat)
    assert isinstance(seen, Live)
    assert "FAULT load         No file.\n" in seen.text
    assert str(end).endswith("1 fault.")
