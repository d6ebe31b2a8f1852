"""/profile and /settings as typed lines, at home and while a server answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from tests.fakes import ScriptedEngine, chat_with
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.remote_kinds import OWNERS
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.config import SETTINGS, checked, read_config
from tokenhud.sessions.log import Log
from tokenhud.sessions.profiles import BUILT_IN, differing, value_of
from tokenhud.tui.commands.completing import suggest
from tokenhud.tui.commands.grammar import Call, Reply, parse, run
from tokenhud.tui.commands.profile import PROFILES
from tokenhud.tui.commands.remote import for_servers

from .wire import Talk, models, talk

COMMANDS = for_servers(PROFILES)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENHUD_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "config.toml"


@pytest.fixture
def chat(tmp_path: Path) -> Chat:
    return chat_with(ScriptedEngine(), tmp_path)


def type_line(chat: Chat, line: str) -> Reply:
    call = parse(line, COMMANDS)
    assert isinstance(call, Call), call
    return run(chat, call)


def told(chat: Chat, line: str) -> str:
    reply = type_line(chat, line)
    job = reply.job() if reply.job else ()
    return "\n".join([reply.text, *(each for each in job if isinstance(each, str))]).strip()


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_profile_is_right_and_changes_what_it_says(chat: Chat, name: str):
    wanted = BUILT_IN[name]
    for field, value in wanted.items():
        assert checked(field, value) == value
    chat.set("quantize", "int4")
    said = told(chat, f"/profile {name}")
    assert said.startswith(f"Profile {name}: quantize int4 → {wanted['quantize']}, drafter plain →")
    assert all(value_of(each, chat.spec, chat.sampling, None) == wanted[each] for each in wanted)


def test_each_built_in_profile_takes_back_what_the_other_sets(chat: Chat):
    told(chat, "/profile quality")
    before = chat.spec
    told(chat, "/profile speed")
    assert chat.spec != before
    told(chat, "/profile quality")
    assert chat.spec == before


def test_alone_it_lists_them_and_marks_what_is_in_force(chat: Chat, path: Path):
    path.write_text("[profiles.mine]\nlength = 3\n[profiles.odd]\nlength = 0\n")
    told(chat, "/profile mine")
    lines = told(chat, "/profile").splitlines()
    assert "* mine     length 3" in lines
    assert any(line.startswith("speed    target auto, quantize int8") for line in lines)
    assert any(str(path) in line and "length is a whole number" in line for line in lines)


def test_what_differs_now_can_be_saved_and_put_in_force_again(chat: Chat, path: Path):
    chat.set("length", 33)
    chat.set("seed", 4)
    chat.set("system", "Brief.")
    assert told(chat, "/profile save mine").startswith(
        "Profile mine is saved: seed 4, length 33, system"
    )
    assert read_config(path).profiles == {"mine": {"length": 33, "seed": 4, "system": "Brief."}}
    for name in ("length", "seed", "system"):
        chat.set(name, value_of(name, Spec(), Sampling(), None))
    assert "length 512 → 33" in told(chat, "/profile mine")
    assert (chat.sampling.length, chat.sampling.seed, chat.system) == (33, 4, "Brief.")
    assert "That is what is set already." in told(chat, "/profile mine")


def test_a_saved_profile_holds_over_the_file_s_settings(chat: Chat, path: Path):
    """What is as built in stands in it too where [settings] says otherwise."""
    path.write_text("[settings]\nlength = 7\n")
    chat.set("seed", 4)
    told(chat, "/profile save mine")
    assert read_config(path).profiles["mine"] == {"length": 512, "seed": 4}


def test_a_profile_can_be_deleted_and_a_built_in_one_comes_back(chat: Chat, path: Path):
    chat.set("length", 33)
    assert "in place of what it was" in told(chat, "/profile save speed")
    assert "The built-in one holds again" in told(chat, "/profile delete speed")
    assert read_config(path).profiles == {}
    reply = type_line(chat, "/profile delete speed")
    assert not reply.ok
    assert "built in" in reply.text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/profile sped", "There is no profile sped. Did you mean speed?"),
        ("/profile zzz", "There are: speed, quality."),
        ("/profile save", "It is /profile save NAME."),
        ("/profile delete", "It is /profile delete NAME."),
        ("/profile speed now", "It is /profile speed."),
        ("/profile save save", "'save' is a word of /profile itself"),
        ("/profile save mine", "nothing to save"),
        ("/profile a b c", "left over"),
        ("/settings x", "/settings takes save, not 'x'."),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(chat: Chat, path, line: str, said: str):
    reply = type_line(chat, line)
    assert not reply.ok
    assert said in reply.text
    assert (chat.spec, chat.sampling) == (Spec(), Sampling())
    assert not path.exists()


def test_a_home_that_cannot_be_written_is_told(chat: Chat, path: Path, monkeypatch):
    path.write_text("")
    monkeypatch.setenv("TOKENHUD_CONFIG", str(path / "below.toml"))
    chat.set("length", 33)
    for line in ("/profile save mine", "/settings save"):
        reply = type_line(chat, line)
        assert not reply.ok
        assert "cannot be written" in reply.text


def test_settings_are_saved_as_the_way_chats_begin(chat: Chat, path: Path):
    chat.set("length", 33)
    chat.set("threads", 2)
    assert told(chat, "/settings save").startswith("Chats begin with threads 2, length 33, kept")
    assert read_config(path).settings == {"threads": 2, "length": 33}
    chat.set("length", 512)
    chat.set("threads", None)
    assert "all as built in" in told(chat, "/settings save")
    assert read_config(path).settings == {}


def test_settings_alone_lists_every_one(chat: Chat):
    chat.set("length", 33)
    reply = type_line(chat, "/settings")
    assert reply.action == "show:settings:"
    assert {line.split()[0] for line in reply.text.replace("*", " ").splitlines()} == set(SETTINGS)
    assert "* length              33 (built in: 512)" in reply.text


def test_what_differs_is_every_setting_that_does():
    spec = Spec(model="m", url="http://a", threads=3)
    assert differing(spec, Sampling(top_k=4), "Hi") == {
        "model": "m",
        "url": "http://a",
        "threads": 3,
        "top_k": 4,
        "system": "Hi",
    }
    assert differing(Spec(), Sampling(), None) == {}
    assert len(SETTINGS) == len(fields(Spec)) + len(fields(Sampling)) + 1


def test_names_complete_with_what_they_set(chat: Chat, path: Path):
    path.write_text("[profiles.mine]\nlength = 3\n")

    def offered(line: str) -> list[tuple[str, str]]:
        return [(each.insert, each.hint) for each in suggest(line, COMMANDS, chat)]

    assert ("/profile mine", "length 3") in offered("/profile m")
    assert [line for line, _ in offered("/profile delete ")] == ["/profile delete mine"]
    assert "/profile speed" in [line for line, _ in offered("/profile ")]


def test_a_profile_of_which_nothing_is_valid_is_not_in_force_and_says_why(chat: Chat, path: Path):
    path.write_text("[profiles.odd]\nlength = 0\n[profiles.bare]\n[settings]\nseed = 'x'\n")
    lines = told(chat, "/profile").splitlines()
    assert not any(line.startswith(("* odd", "* bare")) for line in lines)
    reply = type_line(chat, "/profile odd")
    assert not reply.ok
    assert reply.text.startswith("Profile odd sets nothing.")
    assert "length is a whole number" in reply.text
    assert "seed" not in reply.text, "only what is wrong with this one"
    assert "nothing in it" in type_line(chat, "/profile bare").text
    assert (chat.spec, chat.sampling) == (Spec(), Sampling())
    assert "is deleted" in told(chat, "/profile delete odd")


# servers


@pytest.fixture
def server() -> Iterator[Talk]:
    with talk() as talking:
        yield talking


@pytest.fixture
def remote(server: Talk) -> Chat:
    return Chat(server.engine, Log.in_memory(header(Spec(), Sampling())), Spec(), Sampling())


def vllm(server: Talk) -> str:
    (owner,) = [owner for owner, kind in OWNERS.items() if kind.name == "vLLM"]
    server.wire.answer("/v1/models", models("m", owner=owner, max_model_len=4096))
    return server.wire.url


def test_a_profile_with_an_address_moves_there(remote: Chat, server: Talk, path: Path):
    url = vllm(server)
    path.write_text(f"[profiles.far]\nurl='{url}'\nmodel='m'\ntop_k=4\ngamma=6\nlength=9\n")
    said = told(remote, "/profile far")
    assert f"m on {url}." in said
    assert "Profile far: top_k 0 → 4, length 512 → 9, from the next answer." in said
    assert "The server decides, so left out: gamma." in said
    assert (remote.spec.url, remote.spec.model, remote.spec.gamma) == (url, "m", 4)
    assert "That is what is set already." in told(remote, "/profile far"), "no second move"


def test_a_profile_without_one_stays_there_and_says_what_is_left_out(
    remote: Chat, server: Talk, path: Path
):
    url = vllm(server)
    path.write_text(f"[profiles.far]\nurl='{url}'\n[profiles.here]\nmodel='x.gguf'\nseed=3\n")
    told(remote, "/profile far")
    said = told(remote, "/profile speed")
    left_out = "The server decides, so left out: target, quantize, drafter, gamma_policy."
    assert left_out in said
    assert "/engine local goes back" in said
    assert "left out: model." in told(remote, "/profile here")
    assert (remote.spec.url, remote.sampling.seed) == (url, 3)


@pytest.mark.parametrize(("extra", "model"), [("", "smollm2"), ("model='x.gguf'\n", "x.gguf")])
def test_a_profile_that_says_so_goes_home(remote, server, path: Path, extra: str, model: str):
    path.write_text(f"[profiles.far]\nurl='{vllm(server)}'\n[profiles.home]\nurl=''\n{extra}")
    told(remote, "/profile far")
    assert "→ local" in told(remote, "/profile home")
    assert (remote.spec.url, remote.spec.model) == ("", model)
