"""What is offered while a command is typed, and what the keys do with it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenhud.engines.options import DRAFTERS, Spec, limits
from tokenhud.tui.app import TokenhudApp
from tokenhud.tui.commands.choices import COMPLETES
from tokenhud.tui.commands.matching import SCATTERED, matching, rank
from tokenhud.tui.commands.table import COMMANDS, hint, suggest

from .fakes import ScriptedEngine, chat_with
from .saved import save, turn

BY_NAME = {each.name: each for each in COMMANDS}


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    chat = chat_with(ScriptedEngine(), tmp_path_factory.mktemp("chat"))
    yield chat
    chat.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENHUD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(line, chat):
    return [each.insert for each in suggest(line, chat)]


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("/sp", "/speculative"),
        ("/s", "/speculative"),
        ("/len", "/length "),
        ("/tar", "/autoregressive"),  # its other name begins so
        ("/penal", "/repetition_penalty "),  # a part of it does
        ("/ength", "/length "),
        ("/ngm", "/ngram"),  # its letters in order
        ("/LEN", "/length "),
    ],
)
def test_the_likeliest_name_comes_first(chat, line, first):
    assert offered(line, chat)[0] == first


def test_a_name_says_its_value_now_and_what_it_does(chat):
    (length,) = [each for each in suggest("/le", chat) if each.insert == "/length "]
    assert length.label == "/length [N]"
    assert length.hint == "now 512 · most tokens of an answer"


@pytest.mark.parametrize(
    "line", ["hello", "//le", "/length\n", " /le", "/length 100 1", "/nothing 1"]
)
def test_nothing_is_offered_where_nothing_completes(chat, line):
    assert offered(line, chat) == []


def test_words_of_an_argument_are_offered_and_the_one_in_force_is_marked(chat):
    words = {each.label: each.hint for each in suggest("/processor ", chat)}
    assert words["greedy"] == "now"
    assert words["nucleus"] == ""
    assert offered("/processor nu", chat)[0] == "/processor nucleus"
    assert offered("/processor nucleus", chat) == []  # whole


def test_enter_takes_a_row_only_where_what_is_typed_is_not_meant(chat, home):
    sure = {
        line: suggest(line, chat)[0].sure for line in ("/te", "/temperature", "/hud b", "/hud ")
    }
    assert sure == {"/te": True, "/temperature": False, "/hud b": True, "/hud ": False}
    (home / "newer.csv").touch()
    assert [each.sure for each in suggest("/export csv ./new", chat)] == [False]


def test_sessions_are_offered_by_name(chat, home):
    folder = home / "home" / "sessions"
    for name in ("morning talk", "evening"):
        save(folder, name, turn(1, "hi", ["Yes"]))
    save(folder / "deleted", "gone", turn(1, "hi", ["Yes"]))
    assert offered("/load morn", chat) == ["/load morning talk"]
    assert sorted(offered("/load ", chat)) == ["/load evening", "/load morning talk"]
    assert offered("/sessions delete even", chat) == ["/sessions delete evening"]
    assert offered("/sessions restore ", chat) == ["/sessions restore gone"]
    assert offered("/sessions rename m", chat) == ["/sessions rename 'morning talk'"]
    assert "/replay evening" in offered("/replay ev", chat)
    assert offered("/sessions search even", chat) == []


def test_a_home_that_is_not_there_offers_nothing(chat, home):
    assert offered("/load x", chat) == offered("/sessions restore ", chat) == []
    (home / "home" / "sessions").mkdir(parents=True)
    (home / "home" / "sessions" / "deleted").symlink_to(home)
    assert offered("/sessions restore ", chat) == []


def test_files_are_offered_folders_first(chat, home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    for name in ("a.gguf", "B.GGUF", "notes.txt", ".hidden.gguf", "bell\a.gguf"):
        (home / name).touch()
    for name in ("models", ".cache"):
        (home / name).mkdir()
    (home / "models" / "x.gguf").touch()
    assert offered("/llama ", chat) == [
        f"/llama {each}" for each in ("models/", "a.gguf", "B.GGUF")
    ]
    assert offered("/model ~", chat) == ["/model ~/"]
    assert offered("/model ~/mod", chat) == ["/model ~/models/"]
    assert offered("/model ~/models/", chat) == ["/model ~/models/x.gguf"]
    assert offered("/llama ./.", chat) == ["/llama ./.cache/", "/llama ./.hidden.gguf"]
    assert "/export csv notes.txt" in offered("/export csv n", chat)
    assert "/model smollm2" in offered("/model sm", chat)
    assert offered("/save ./no", chat) == []  # a new name
    assert offered(f"/save {home}/no", chat) == [f"/save {home}/notes.txt"]


def test_a_folder_that_grows_is_read_again(chat, home):
    (home / "one.gguf").touch()
    assert offered("/llama ./", chat) == ["/llama ./one.gguf"]
    (home / "two.gguf").touch()
    os.utime(home, ns=(1, 1))
    assert offered("/llama ./", chat) == ["/llama ./one.gguf", "/llama ./two.gguf"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("/race pl", "/race plain"),
        ("/race plain, suf", "/race plain, suffix"),
        ("/race plain, speculative gam", "/race plain, speculative gamma="),
        ("/race plain quantize=in", "/race plain quantize=int8"),
        ("/compare qu", "/compare quant"),
        ("/compare plain, in", "/compare plain, int8"),
        ("/bench co", "/bench code"),
        ("/bench code rew", "/bench code rewrite"),
        ("/bench code wi", "/bench code with "),
        ("/bench code with plain, su", "/bench code with plain, suffix"),
        ("/sweep gam", "/sweep gamma"),
        ("/sweep gamma 2,4 co", "/sweep gamma 2,4 code"),
        ("/sweep gamma 2,4 code with su", "/sweep gamma 2,4 code with suffix"),
        ("/replay wi", "/replay with "),
        ("/replay with int", "/replay with int8"),
        ("/help len", "/help length"),
        ("/drafter se", "/drafter self"),
    ],
)
@pytest.mark.usefixtures("home")
def test_arguments_are_completed_to_the_end(chat, line, wanted):
    assert wanted in offered(line, chat)


def test_results_can_be_compared_by_name(chat, home):
    (home / "home" / "results" / "before").mkdir(parents=True)
    assert offered("/compare bef", chat) == ["/compare before"]
    assert "/compare plain, before" in offered("/compare plain, bef", chat)
    assert offered("/compare speculative bef", chat) == []


def test_every_completed_argument_exists():
    for name, completes in COMPLETES.items():
        arguments = BY_NAME[name].arguments
        assert len(completes) <= len(arguments)
        assert [bool(each.complete) for each in arguments][: len(completes)] == [
            each is not None for each in completes
        ]


@pytest.mark.parametrize("line", ["/race ", "/bench x with "])
def test_every_drafter_is_offered_with_what_it_sets(chat, line):
    told = {each.label: each.hint for each in suggest(line, chat)}
    assert told.keys() >= set(DRAFTERS)
    assert told["suffix"] == BY_NAME["suffix"].summary
    assert told["int8"] == limits(Spec, "quantize")["about"]


def test_the_hint_tells_grammar_value_and_example(chat):
    assert hint("/length", chat) == "/length [N] · now 512 · most tokens of an answer"
    usage, now, takes, example = hint("/length 1", chat).split(" · ")
    assert takes.startswith("a whole number from 1 to")
    assert (usage, now, example) == ("/length [N]", "now 512", "/length 100")
    assert "TOP_K: a whole number" in hint("/beam 4 ", chat)
    assert hint("/beam 4 3 ", chat) == f"/beam [N] [TOP_K] · now 1 · {BY_NAME['beam'].summary}"
    assert hint("/nothing", chat) == hint("hello", chat) == ""


COMMAND_LINE = st.builds(
    lambda name, rest: f"/{name} {rest}", st.sampled_from(sorted(BY_NAME)), st.text(max_size=20)
)


@given(st.text(max_size=20) | COMMAND_LINE)
def test_any_line_can_be_completed_and_hinted(chat, line):
    told = suggest(line, chat)
    assert all(each.insert.startswith("/") for each in told)
    assert all(each.label.isprintable() and each.hint.isprintable() for each in told)
    assert isinstance(hint(line, chat), str)


NAMES = st.lists(st.text("abc_", min_size=1, max_size=6), max_size=6)


@given(st.text("abc_", max_size=4), NAMES)
def test_a_better_match_is_never_behind_a_worse_one(typed, names):
    found = matching(typed, names, lambda each: (each,))
    ranks = [each for each, _ in found]
    assert ranks == sorted(ranks)
    prefixed = [each for each in names if each.startswith(typed)]
    assert {each for _, each in found[: len(prefixed)]} == set(prefixed)
    if any(each < SCATTERED for each in ranks):
        assert max(ranks) < SCATTERED


@given(st.text(min_size=1, max_size=8))
def test_a_name_is_its_own_best_match(name):
    assert rank(name, (name,)) == 0


# the keys


class At:
    def __init__(self, app, pilot):
        self.app, self.pilot = app, pilot

    @property
    def screen(self):
        return self.app.screen_stack[0]

    @property
    def text(self):
        return self.screen.prompt.text

    @property
    def marked(self):
        return self.screen.completion.marked

    async def keys(self, *keys):
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text):
        self.screen.prompt.insert(text)
        await self.pilot.pause()


@pytest.fixture
async def at(home):
    engine = ScriptedEngine()
    app = TokenhudApp(chat_with(engine, home / "chat"))
    async with app.run_test() as pilot:
        await pilot.pause()
        await app.screen.at_rest()
        yield At(app, pilot)
        engine.close()


async def test_enter_takes_the_marked_row_and_then_sends(at):
    await at.type("/suf")
    await at.keys("enter")
    assert at.text == "/suffix"
    await at.keys("enter")
    assert at.text == ""
    assert at.app.chat.spec.drafter == "suffix"


async def test_enter_sends_what_is_whole_and_down_takes_another(at):
    await at.type("/hud ")
    assert at.screen.completion.display
    await at.keys("enter")
    assert at.text == ""
    await at.type("/hud ")
    await at.keys("down", "down", "enter")
    assert at.text == "/hud side"


async def test_tab_takes_the_first_where_none_is_marked(at):
    await at.type("/hud ")
    assert at.marked is None
    await at.keys("tab")
    assert at.text == "/hud auto"


async def test_a_closed_list_stays_closed_until_something_else_is_typed(at):
    await at.type("/suffi")
    await at.keys("escape")
    assert not at.screen.completion.display
    await at.keys("enter")
    assert at.text == "/suffi"  # refused, and kept: Enter did not take the row
    assert "Did you mean /suffix?" in str(at.screen.query_one("#hint").render())
    await at.keys("x")
    assert at.text == "/suffix"
    assert at.screen.completion.display


async def test_a_folder_is_walked_into_with_tab(at, home):
    (home / "deep" / "deeper").mkdir(parents=True)
    (home / "deep" / "deeper" / "x.gguf").touch()
    await at.type("/llama de")
    await at.keys("tab", "tab", "tab")
    assert at.text == "/llama deep/deeper/x.gguf"


async def test_a_refused_line_is_put_away_with_escape_and_comes_back(at):
    await at.type("/length six")
    await at.keys("enter")
    assert at.text == "/length six"
    await at.keys("escape")
    assert at.text == ""
    await at.keys("up")
    assert at.text == "/length six"


async def test_a_refused_line_that_was_edited_is_not_put_away(at):
    await at.type("/length six")
    await at.keys("enter", "backspace", "escape")
    assert at.text == "/length si"
