"""The slash commands while a server answers: nothing is claimed that it does not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenhud.engines.events import Loaded
from tokenhud.engines.options import Sampling, Spec
from tokenhud.engines.remote_kinds import UNKNOWN, Kind
from tokenhud.sessions.chat import Chat, header
from tokenhud.sessions.log import Log
from tokenhud.tui.chat.panel import panel, view
from tokenhud.tui.chat.readings import Readings
from tokenhud.tui.commands.bench import BENCHES
from tokenhud.tui.commands.decoding import DECODING
from tokenhud.tui.commands.grammar import Call, Reply, parse, run
from tokenhud.tui.commands.remote import AT_LAUNCH, KINDS, REMOTE, for_servers
from tokenhud.tui.commands.settings import setting
from tokenhud.tui.commands.trial import TRIALS
from tokenhud.tui.commands.weights import WEIGHTS_COMMANDS

from .fakes import ScriptedEngine
from .streams import PLAIN
from .wire import CHAT, Talk, models, talk
from .wire import Reply as WireReply

SETTINGS = [setting(Sampling, each, f"/{each}") for each in ("top_k", "min_p", "seed", "top_p")]
SETTINGS += [setting(Spec, each, f"/{each}") for each in ("context", "threads")]
COMMANDS = for_servers((*REMOTE, *DECODING, *TRIALS, *BENCHES, *WEIGHTS_COMMANDS, *SETTINGS))


@pytest.fixture
def server() -> Iterator[Talk]:
    with talk() as talking:
        yield talking


@pytest.fixture
def chat(server: Talk) -> Chat:
    return Chat(server.engine, Log.in_memory(header(Spec(), Sampling())), Spec(), Sampling())


def type_line(chat: Chat, line: str) -> Reply:
    call = parse(line, COMMANDS)
    assert isinstance(call, Call), call
    return run(chat, call)


def told(chat: Chat, line: str) -> str:
    """What the command says, and its job if it has one."""
    reply = type_line(chat, line)
    job = reply.job() if reply.job else ()
    return "\n".join([reply.text, *(each for each in job if isinstance(each, str))]).strip()


def on(server: Talk, chat: Chat, owner: str, about: dict[str, object] | None = None) -> None:
    server.wire.answer("/v1/models", models("m", owner=owner, max_model_len=4096))
    if about:
        server.wire.answer("/server_info", about)
    told(chat, f"/engine {server.wire.url}")


def test_engine_goes_to_a_server_and_says_what_answers_there(server: Talk, chat: Chat) -> None:
    server.wire.answer("/v1/models", models("a", "b", owner="vllm"))
    server.wire.answer("/version", {"version": "0.33.1"})
    lines = told(chat, f"/engine {server.wire.url}/v1 b").splitlines()
    assert lines[0] == f"b on {server.wire.url}/v1."
    assert lines[1] == "vLLM 0.33.1 answers."
    assert (chat.spec.url, chat.spec.model) == (f"{server.wire.url}/v1", "b")


def test_a_server_that_is_not_there_is_told_with_the_way_back(chat: Chat) -> None:
    said = told(chat, "/engine http://127.0.0.1:9")
    assert said.startswith("Nothing answers at http://127.0.0.1:9.")
    assert said.endswith("/engine local goes back to this machine.")
    assert "not loaded yet by http://127.0.0.1:9" in told(chat, "/engine")


def test_engine_local_goes_back_to_the_model_that_ran_here() -> None:
    spec = Spec(model="mine.gguf")
    chat = Chat(ScriptedEngine(), Log.in_memory(header(spec, Sampling())), spec, Sampling())
    list(chat.load())
    told(chat, "/engine http://gpu1:8000 big")
    assert (chat.spec.url, chat.spec.model) == ("http://gpu1:8000", "big")
    assert told(chat, "/engine local") == "Script on this machine."
    assert (chat.spec.url, chat.spec.model) == ("", "mine.gguf")


@pytest.mark.parametrize("place", ["gpu1:8000", "http://me:pw@gpu1", "ftp://gpu1", "http://"])
def test_what_is_no_address_changes_nothing_and_is_not_repeated(chat: Chat, place: str) -> None:
    reply = type_line(chat, f"/engine {place}")
    assert not reply.ok
    assert "http:// or https://" in reply.text
    assert "pw" not in reply.text
    assert chat.spec.url == ""


def test_the_report_of_a_server_has_no_empty_figures(server: Talk, chat: Chat) -> None:
    on(server, chat, "vllm")
    server.wire.answer(CHAT, WireReply([PLAIN.data]))
    list(chat.ask("Hello?"))
    report = told(chat, "/engine")
    for line in ("model     m", f"server    {server.wire.url}", "context   4,096 positions"):
        assert line in report.splitlines()
    assert "note      vLLM answers." in report
    assert "–         vLLM does not tell cached prompt tokens: start it with" in report
    assert " ms for a light request" in report
    assert not [each for each in ("0 parameters", "None", "hashes  ", "threads") if each in report]


def test_the_report_before_any_answer_leaves_the_network_open(server: Talk, chat: Chat) -> None:
    on(server, chat, "nobody")
    report = told(chat, "/engine")
    assert "network   – for" in report
    assert "context   4,096 positions" in report


def test_the_hud_names_the_server(server: Talk, chat: Chat) -> None:
    on(server, chat, "sglang", {"version": "0.5", "model_path": "m", "dtype": "bfloat16"})
    shown = str(panel(view(Readings.of(chat.log.records), chat, 0), 40, 60))
    assert server.wire.url in shown
    assert "'SGLang 0.5'" in shown
    assert "the server's own" in shown


@pytest.mark.parametrize("name", AT_LAUNCH)
def test_what_a_server_decides_at_launch_is_refused_and_stays(
    server: Talk, chat: Chat, name: str
) -> None:
    on(server, chat, "vllm")
    before = chat.spec, chat.sampling
    values = {"dtype": "bfloat16", "kv_type": "q8_0", "device": "cpu", "runtime": "hf"}
    values |= {"gamma": "3", "quantize": "int8", "flash_attention": "on", "triton": "off"}
    reply = type_line(chat, f"/{name} {values.get(name, '')}".strip())
    assert not reply.ok
    assert reply.text.startswith("vLLM decides what ")
    assert (chat.spec, chat.sampling) == before


def test_a_refusal_names_the_flag_and_the_servers_own_value(server: Talk, chat: Chat) -> None:
    about = {"model_path": "m", "speculative_algorithm": "EAGLE", "speculative_num_draft_tokens": 4}
    on(server, chat, "sglang", about)
    assert told(chat, "/gamma 8") == (
        "SGLang decides what /gamma sets when it starts, by --speculative-num-draft-tokens; its "
        "own value is 4. /engine local goes back to this machine."
    )
    assert "its own value is EAGLE" in told(chat, "/suffix")
    assert "--context-length; its own value is 4,096" in told(chat, "/context")
    assert "it does not tell its own value" in told(chat, "/threads 2")


@pytest.mark.parametrize("line", ["/verify", "/tune", "/compare quant"])
def test_what_needs_token_ids_is_refused(server: Talk, chat: Chat, line: str) -> None:
    on(server, chat, "vllm")
    assert "tells no token ids" in told(chat, line)


def test_settings_that_the_server_takes_are_set_and_others_not(server: Talk, chat: Chat) -> None:
    chat.set("top_k", 40)
    on(server, chat, "library")
    assert told(chat, "/min_p 0.1") == ("Ollama takes no min_p from outside: its own value holds.")
    assert told(chat, "/top_k 0") == "top_k 40 → 0, from the next answer."  # nothing is claimed
    assert told(chat, "/seed 7") == "seed random → 7, from the next answer."
    assert told(chat, "/top_p 0.9") == "top_p 1.0 → 0.9, from the next answer."
    assert chat.sampling.min_p == 0


def test_on_this_machine_every_command_does_what_it_did() -> None:
    chat = Chat(ScriptedEngine(), Log.in_memory(header(Spec(), Sampling())), Spec(), Sampling())
    told(chat, "/gamma 3")
    told(chat, "/top_k 5")
    assert (chat.spec.gamma, chat.sampling.top_k) == (3, 5)


def test_before_the_server_is_known_what_it_may_take_is_set(chat: Chat) -> None:
    chat.set("url", "http://gpu1:8000")
    assert told(chat, "/top_k 5") == "top_k 0 → 5, from the next answer."
    assert told(chat, "/gamma 5").startswith("The server decides what /gamma sets")
    assert not any(isinstance(each, Loaded) for each in chat.log.records)


def kinds_table() -> list[str]:
    """What servers take and tell, as docs/distributed.md has it."""
    return [_row(*_kind_cells(each)) for each in (*KINDS, UNKNOWN)]


def flags_table() -> list[str]:
    head = (
        *("drafter", "gamma", "dtype", "quantize", "kv_type", "flash_attention"),
        *("gpu_layers", "threads", "context", "device"),
    )
    return [_row(each.name, *(_code(each.flags.get(name)) for name in head)) for each in KINDS]


def _kind_cells(kind: Kind) -> tuple[str, ...]:
    asks = dict.fromkeys(kind.absent.values())
    counters = kind.counters.path if kind.counters else None
    return kind.name, ", ".join(kind.takes), _code(counters), ", ".join(map(_code, asks)) or "–"


def _code(text: str | None) -> str:
    """Flags as code, sentences about them as they are."""
    if not text:
        return "–"
    return f"`{text}`" if text[0] in "-/" and " of " not in text and " and " not in text else text


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize(("mark", "rows"), [("kinds", kinds_table()), ("flags", flags_table())])
def test_the_document_has_the_tables_of_the_program(mark: str, rows: list[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "distributed.md").read_text("utf-8")
    between = page.split(f"<!-- {mark} -->\n")[1].split(f"\n<!-- end of {mark} -->")[0]
    assert between.splitlines()[2:] == rows
