"""Messages to token ids by the model's own template, and ids back to text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer

from .control import Control, any_of, free_marker
from .conversation import Conversation
from .detokenise import Detokeniser, detokeniser
from .events import EngineError, Message
from .folder import settings
from .template import FALLBACK, Template

NO_TEMPLATE = (
    "The model has no chat template, so the chat is sent as plain lines that begin with User: "
    "and Assistant: and the answer may run on."
)

ENDS = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
)


class Encoder(Protocol):
    """What takes part in making ids from a chat, control tokens spelled by a person apart."""

    def marked(self, content: str, marker: str) -> str: ...
    def encode(self, text: str, marker: str, bos: bool) -> list[int]: ...


class Prompts:
    """The chat template of a checkpoint folder, and the ids of a chat by it."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        named = settings(folder / "tokenizer_config.json")
        own = _template_source(folder, named)
        self.tokens = _special_tokens(named)
        self._fallback = not own
        self._source = own or FALLBACK
        self.template_sha256 = hashlib.sha256(self._source.encode()).hexdigest()
        self.conversation = Conversation(Template(self._source, self.tokens))
        self._encoder = encoder

    def prompt(self, messages: Sequence[Message]) -> tuple[list[int], list[str]]:
        """The ids that open the assistant's turn, and what was done to the chat, in sentences.

        They are transformers' own, except that a control token spelled in a message stays text.
        """
        contents = [_encodable(each.content) for each in messages]
        marker = free_marker(set(self._source).union(*contents))
        chat = [
            {"role": each.role, "content": self._encoder.marked(content, marker)}
            for each, content in zip(messages, contents, strict=True)
        ]
        text, notes = self.conversation.text(chat)
        # A template writes its own BOS; the fallback leaves it to the tokenizer.
        ids = self._encoder.encode(text, marker, bos=self._fallback)
        return ids, [NO_TEMPLATE, *notes] if self._fallback else notes

    def plain(self, text: str) -> list[int]:
        """The ids of `text` alone; a control token that it spells stays text."""
        content = _encodable(text)
        marker = free_marker(set(content))
        return self._encoder.encode(self._encoder.marked(content, marker), marker, bos=True)


class Text:
    """The tokenizer, template and stop ids of one checkpoint folder."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = _tokenizer(folder / "tokenizer.json")
        self._control = Control(self.tokenizer)
        self._prompts = Prompts(folder, self._control)
        self.prompt, self.plain = self._prompts.prompt, self._prompts.plain
        self.template_sha256 = self._prompts.template_sha256
        self.stop_ids = declared_stops(folder) | self._end_of_turn() | self._customary_ends()
        if "eos_token" in self._prompts.tokens:
            self.stop_ids |= _known(self.tokenizer, self._prompts.tokens["eos_token"])

    @property
    def vocabulary(self) -> int:
        return self.tokenizer.get_vocab_size()

    def spelling(self) -> dict[int, tuple[str, str]]:
        """What each id stands for: as the tokenizer spells it, and as text."""
        tokens, ids = zip(*self.tokenizer.get_vocab(with_added_tokens=True).items(), strict=True)
        texts = self.tokenizer.decode_batch([[each] for each in ids], skip_special_tokens=False)
        return dict(zip(ids, zip(tokens, texts, strict=True), strict=True))

    def detokeniser(self) -> Detokeniser:
        return detokeniser(self.tokenizer, self.stop_ids | self._control.ids)

    def _customary_ends(self) -> frozenset[int]:
        """Control tokens that end a text in every model that has them, declared or not."""
        return self._control.ids.intersection(map(self.tokenizer.token_to_id, ENDS))

    def _end_of_turn(self) -> frozenset[int]:
        """The first added token, blank ones apart, that the template writes after an answer."""
        added = self.tokenizer.get_added_tokens_decoder().values()
        ends = any_of(each.content for each in added if each.content.strip(" ▁\n\t"))
        found = ends.search(self._prompts.conversation.after_answer()) if ends else None
        return _known(self.tokenizer, found[0]) if found else frozenset()


def _tokenizer(file: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(file.read_text("utf-8"))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise EngineError(
            f"The tokenizer {file} cannot be read: {error}.", "Fetch the model again."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _template_source(folder: Path, named: Mapping[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8", "replace")
    source = named.get("chat_template") or ""
    if isinstance(source, list):  # several by name
        several = {each["name"]: each["template"] for each in source}
        source = several.get("default") or next(iter(several.values()), "")
    return str(source)


def _special_tokens(named: Mapping[str, Any]) -> dict[str, str]:
    """bos_token and the like: each is a text, or an object that holds one, or null."""
    values = {name: value for name, value in named.items() if name.endswith("_token")}
    texts = {k: v.get("content") if isinstance(v, dict) else v for k, v in values.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def declared_stops(folder: Path) -> frozenset[int]:
    declared: list[Any] = []
    for name in ("generation_config.json", "config.json"):
        value = settings(folder / name).get("eos_token_id")
        declared += value if isinstance(value, list) else [value]
    return frozenset(each for each in declared if type(each) is int)


def _known(tokenizer: Tokenizer, token: str) -> frozenset[int]:
    found = tokenizer.token_to_id(token)
    return frozenset() if found is None else frozenset({found})


def _encodable(text: str) -> str:
    """`text` with each lone surrogate as one replacement mark, since none has a UTF-8 form."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
