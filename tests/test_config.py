"""The config file: what is right in it holds, what is wrong is told, and writing keeps the rest."""

from __future__ import annotations

import io
import os
import string
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import ScriptedEngine
from tokenhud.__main__ import main
from tokenhud.engines.events import EngineError
from tokenhud.sessions.bench.plan import Value
from tokenhud.sessions.config import Preferences, config_path, read_config
from tokenhud.sessions.config_file import (
    delete_profile,
    save_preferences,
    save_profile,
    save_settings,
)
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.commands import view as view_commands
from tokenhud.tui.headless import plain

MINE = """# my own file
theme = "nord"  # calm

[settings] # for every chat
length = 1_000   # long
temperature = 1
seed = "random"
system = "Be brief."

# from a later version
[profiles.far]
url = "http://gpu1:8000"
threads = "auto"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path))
    monkeypatch.delenv("TOKENHUD_CONFIG", raising=False)
    return tmp_path / "config.toml"


def test_the_file_lies_in_the_home_or_where_a_variable_says(path: Path, monkeypatch):
    assert config_path() == path
    monkeypatch.setenv("TOKENHUD_CONFIG", str(path.parent / "other.toml"))
    assert config_path() == path.parent / "other.toml"
    monkeypatch.delenv("TOKENHUD_CONFIG")
    monkeypatch.delenv("TOKENHUD_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path.parent))
    assert config_path().name == "config.toml"


def test_a_file_that_is_not_there_says_nothing(path: Path):
    config = read_config(path)
    assert (config.preferences, config.settings, config.problems) == (Preferences(), {}, ())
    assert not path.exists()


def test_what_is_right_is_read(path: Path):
    path.write_text(MINE, encoding="utf-8")
    config = read_config(path)
    assert config.problems == ()
    assert config.preferences == Preferences(theme="nord")
    assert config.settings == {
        "length": 1000,
        "temperature": 1.0,
        "seed": None,
        "system": "Be brief.",
    }
    assert config.profiles == {"far": {"url": "http://gpu1:8000", "threads": None}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("theme = 'pink'", "theme is one of textual-dark"),
        ("hud = 3", "hud is one of auto, side, bar, hidden."),
        ("teme = 'nord'", "there is no key 'teme' here; did you mean theme?"),
        ("length = 3", "there is no key 'length' here; it belongs under [settings]."),
        ("[settings]\ntheme = 'nord'", "[settings] there is no key 'theme' here; it belongs at"),
        ("[settings]\nlenght = 3", "[settings] there is no key 'lenght' here; did you mean length"),
        ("[settings]\nlength = 0", "[settings] length is a whole number from 1 to 10000000."),
        ("[settings]\nlength = 'long'", "[settings] length is a whole number."),
        ("[settings]\nlength = 2.0", "[settings] length is a whole number."),
        ("[settings]\ntop_p = true", "[settings] top_p is a number."),
        ("[settings]\nlength = " + "9" * 400, "[settings] length is a whole number from 1 to"),
        ("[settings]\nnum_beams = ''", "[settings] num_beams is a whole number."),
        ("[settings]\nsystem = 3", "[settings] system is a text."),
        ("[profiles.x]\nquantize = 'int3'", "[profiles.x] quantize is one of none, bf16"),
        ("[profiles.save]\nlength = 3", "[profiles] 'save' is a word of /profile itself."),
        ("[profiles.'a b']\nlength = 3", "[profiles] 'a b' is no name of a profile"),
        ("settings = 3", "[settings] has to be a table."),
        ("profiles = [3]", "[profiles] has to be a table."),
        ("profiles.x = 3", "[profiles.x] has to be a table."),
        ("theme = ", "Invalid value (at end of document)."),
        ("a = 1\na = 2\n", "(at line 2, column 6)"),
        ("a = " + "[" * 5000, "is nested too deeply."),
        ("x = '" + "\udc80" + "'", "byte 5 is no UTF-8."),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence_with_the_file(path: Path, text: str, told: str):
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    (problem,) = read_config(path).problems
    assert problem.startswith(f"{path}: ")
    assert told in problem
    assert "\n" not in problem


def test_what_is_right_beside_it_holds(path: Path):
    path.write_text("hud='bar'\nx=1\n[settings]\nlength=7\ntop_k=-1\n[profiles]\na.gamma=3\nb.z=1")
    config = read_config(path)
    assert config.preferences.hud == "bar"
    assert config.settings == {"length": 7}
    assert config.profiles == {"a": {"gamma": 3}, "b": {}}
    assert len(config.problems) == 3


def test_a_secret_in_the_wrong_place_is_not_repeated(path: Path):
    path.write_text("api_key = 'sk-1'\n[settings]\nurl = 'http://me:sk-2@host'\nkey = 'sk-3'")
    problems = read_config(path).problems
    assert len(problems) == 3
    assert "sk-" not in " ".join(problems)


def test_a_file_that_cannot_be_read_is_told(path: Path):
    path.mkdir()
    assert read_config(path).problems == (f"{path}: is no file.",)


def test_control_characters_of_the_file_reach_no_terminal(path: Path):
    path.write_text('"\\u001b[31m" = 1\n[profiles."\\u001b]0;x"]\n')
    assert "\x1b" not in "".join(read_config(path).problems)
    assert len(read_config(path).problems) == 2


# writing


def test_writing_keeps_comments_order_and_what_is_unknown(path: Path):
    text = MINE + "tomorrow = 1\n"
    path.write_text(text, encoding="utf-8")
    save_preferences(path, Preferences(theme="nord"))
    assert path.read_text() == text, "nothing new, nothing written"
    save_preferences(path, Preferences(theme="nord", hud="bar"))
    save_settings(path, {"length": 1000, "seed": None, "gamma": 6})
    save_profile(path, "far", {"url": "http://gpu2:8000", "threads": None})
    written = path.read_text()
    for kept in (
        "# my own file",
        "# calm",
        "length = 1_000   # long",
        "# from a later",
        "tomorrow",
    ):
        assert kept in written
    config = read_config(path)
    assert config.preferences == Preferences(theme="nord", hud="bar")
    assert config.settings == {"length": 1000, "seed": None, "gamma": 6}
    assert config.profiles == {"far": {"url": "http://gpu2:8000", "threads": None}}


def test_a_profile_can_be_deleted(path: Path):
    save_profile(path, "a", {"gamma": 3})
    save_profile(path, "b", {"gamma": 4})
    delete_profile(path, "a")
    assert read_config(path).profiles == {"b": {"gamma": 4}}
    delete_profile(path, "b")
    assert path.read_text().strip() == ""


def test_a_file_with_a_fault_is_not_written_over(path: Path):
    path.write_text("theme = \n# all my notes\n")
    with pytest.raises(EngineError, match="nothing is written over it"):
        save_settings(path, {"length": 3})
    assert path.read_text() == "theme = \n# all my notes\n"


def test_what_is_no_table_is_not_written_over(path: Path):
    path.write_text("settings = 3\n")
    with pytest.raises(EngineError, match="settings is no table"):
        save_settings(path, {"length": 3})


def test_a_link_stays_one_and_the_mode_too(path: Path):
    real = path.parent / "dotfiles.toml"
    real.write_text("hud = 'bar'\n")
    real.chmod(0o640)
    path.symlink_to(real)
    save_settings(path, {"length": 3})
    assert path.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert read_config(real).settings == {"length": 3}


def test_where_nothing_can_be_written_it_is_told_and_nothing_is_left(path: Path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    path.write_text("hud = 'bar'\n")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(EngineError, match=r"cannot be written: Read-only.*TOKENHUD_CONFIG"):
        save_settings(path, {"length": 3})
    assert path.read_text() == "hud = 'bar'\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_told(path: Path):
    path.write_text("")
    with pytest.raises(EngineError, match="cannot be written"):
        save_settings(path / "below.toml", {"length": 3})


NAMES = st.text(string.ascii_letters + string.digits + ".-_é'\"#]", min_size=1, max_size=8)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "length": st.integers(1, 10_000_000),
        "seed": st.none() | st.integers(0, 2**63 - 1),
        "temperature": st.floats(0, 100),
        "quantize": st.sampled_from(["int8", "none"]),
        "model": st.text(min_size=1, max_size=12).filter(lambda each: "\r" not in each),
    },
)
STARTS = st.sampled_from(
    ["", MINE, "profiles = {a = {length = 3}}\n", "settings.length = 3\nhud = 'bar'\n", "# x"]
)


@settings(max_examples=40, deadline=None)
@given(start=STARTS, name=NAMES, wanted=SETTINGS, profile=SETTINGS, hud=st.sampled_from(["side"]))
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    start: str,
    name: str,
    wanted: dict[str, Value],
    profile: dict[str, Value],
    hud: str,
):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text(start, encoding="utf-8")
    before = read_config(path)
    save_profile(path, name, profile)
    save_settings(path, wanted)
    save_preferences(path, Preferences(theme=before.preferences.theme, hud=hud))
    after = read_config(path)
    assert after.problems == ()
    assert after.settings == wanted
    assert after.profiles == {**before.profiles, name: profile}
    assert after.preferences == Preferences(theme=before.preferences.theme, hud=hud)
    delete_profile(path, name)
    left = {each: value for each, value in before.profiles.items() if each != name}
    assert read_config(path).profiles == left


# where it counts


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    scripted = ScriptedEngine()
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for module in ("tokenhud.tui.headless.ask", "tokenhud.tui.start"):
        monkeypatch.setattr(f"{module}.ProcessEngine", lambda: scripted)
    return scripted


def test_ask_goes_by_it_below_what_is_typed(path: Path, engine: ScriptedEngine, capsys):
    path.write_text("[settings]\nlength=7\ntemperature=0.5\nsystem='Brief.'\nx=1\n")
    assert main(["ask", "Hello?", "--length", "9"]) == 0
    (request,) = engine.requests
    assert (request.sampling.length, request.sampling.temperature) == (9, 0.5)
    assert request.messages[0].content == "Brief."
    assert "there is no key 'x' here" in capsys.readouterr().err


def test_a_profile_holds_over_it_and_what_is_typed_over_both(path: Path, engine: ScriptedEngine):
    path.write_text(
        "[settings]\nlength=7\nseed=1\ntop_k=5\n[profiles.p]\nlength=8\nseed='random'\ngamma=6\n"
    )
    assert main(["ask", "Hello?", "--profile", "p", "--gamma", "3"]) == 0
    (request,) = engine.requests
    assert (request.sampling.length, request.sampling.top_k, request.spec.gamma) == (8, 5, 3)
    assert request.sampling.seed is None


def test_a_profile_that_is_not_there_is_told(path: Path, capsys):
    assert main(["ask", "Hello?", "--profile", "sped"]) == 3
    assert "There is no profile sped. Did you mean speed?" in capsys.readouterr().err
    assert not path.exists()


def test_measurements_take_nothing_from_it_but_a_profile_that_is_named(path: Path, monkeypatch):
    path.write_text("[settings]\nlength=7\n[profiles.p]\ngamma=6\nurl=''\n")
    asked = []

    def bench(*about):
        asked.append(about)
        return 0

    monkeypatch.setattr("tokenhud.tui.headless.experiments.bench", bench)
    assert main(["bench", "S1"]) == 0
    assert main(["bench", "S1", "--profile", "p"]) == 0
    plain_run, with_profile = (about[-1] for about in asked)
    assert plain_run.typed == {}
    assert plain_run.sampling.length != 7
    assert with_profile.typed == {"gamma": 6, "url": ""}
    assert with_profile.spec.gamma == 6


def test_a_chat_begins_with_it_and_tells_what_is_wrong(
    path: Path, engine: ScriptedEngine, monkeypatch, capsys
):
    path.write_text("theme='pink'\n[settings]\nlength=7\n")
    monkeypatch.setattr(plain, "_lines", lambda _: iter(["Hello?"]))
    assert main(["--plain"]) == 0
    assert engine.requests[0].sampling.length == 7
    err = capsys.readouterr().err
    assert f"{path}: theme is one of" in err


def test_a_loaded_session_holds_over_it_and_not_over_a_profile(
    path: Path, engine: ScriptedEngine, monkeypatch
):
    lines = ["/length 5", "/system Old.", "Hello?", "/save old"]
    monkeypatch.setattr(plain, "_lines", lambda _: iter(lines))
    assert main(["--plain"]) == 0
    path.write_text("[settings]\nlength=7\nsystem='New.'\n[profiles.p]\ntop_k=4\n")
    monkeypatch.setattr(plain, "_lines", lambda _: iter(["Again?"]))
    assert main(["--plain", "--load", "old", "--profile", "p"]) == 0
    last = engine.requests[-1]
    assert (last.sampling.length, last.sampling.top_k) == (5, 4)
    assert last.messages[0].content == "Old."


@pytest.mark.usefixtures("engine")
def test_the_screen_begins_with_it_and_keeps_what_is_chosen_there(path: Path, monkeypatch):
    seen = []

    def run(app: TokenhudApp, mouse: bool) -> None:
        assert mouse
        seen.append((app.theme, app.preferences.hud))
        app.prefer("origin", "mark")

    path.write_text("theme='pink'\nhud='bar'\n")
    monkeypatch.setattr("tokenhud.tui.start._need_screen", lambda: None)
    monkeypatch.delenv("STY", raising=False)
    monkeypatch.setattr(TokenhudApp, "run", run)
    assert main([]) == 0
    assert seen == [("textual-dark", "bar")]
    assert tomllib.loads(path.read_text()) == {"theme": "pink", "hud": "bar", "origin": "mark"}


def test_what_the_file_takes_is_what_the_commands_take():
    from tokenhud.sessions import config

    commands = {each.name: each for each in view_commands.VIEW}
    for name, words in config.PREFERENCES.items():
        assert commands[name].arguments[0].words == tuple(words)
