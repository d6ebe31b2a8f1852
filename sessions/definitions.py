"""What each figure on the screen means, in a sentence with its formula. t0 is when the request was
accepted, t1 when the first token was on the host, tN the last; n counts token ids."""

from __future__ import annotations

DEFINITIONS = {
    "SPEED": "of the answer that runs or ran last. Times are the engine's, taken when its device "
    "had finished: a slow screen lowers no figure.",
    "tok/s": "while an answer runs, the tokens of the last second; then its decode rate, "
    "(n - tokens of the first step) / (tN - t1).",
    "speed over time": "tokens/s of this answer, half a second a bar, the latest at the right.",
    "this method": "Σ tokens / Σ time of this chat's whole answers by the method in use, on these "
    "weights; the first answer after a load and cancelled ones are kept out.",
    "first token": "TTFT = t1 - t0, the time from the accepted request to the first token on the "
    "host.",
    "prefill": "evaluated prompt tokens / prefill time; tokens that the cache held are not "
    "evaluated.",
    "answer": "n, the token ids of this answer so far.",
    "BY METHOD": "Σ tokens / Σ time of whole warm answers by each method on these weights, and "
    "that over plain decoding's.",
    "DRAFTS": "accepted / drafted tokens of this answer. A drafted token is kept where it is what "
    "the model would have chosen itself, so the words stay the same.",
    "accepted": "accepted / drafted, of this answer; – where nothing was drafted.",
    "draft by draft": "of each of the last drafts, the share that was kept, the latest at the "
    "right.",
    "last 64 · session": "accepted / drafted over the last 64 drafted tokens, and over this chat's "
    "whole warm answers by this method.",
    "by place": "accepted / drafted at the first, second, third … place of a draft.",
    "tokens a pass": "n / passes of the model; plain decoding makes 1.",
    "draft costs": "c, the drafter's median time for one token, in plain passes.",
    "check costs": "v(γ)/v(0), the median pass that checks the most usual number of drafted "
    "tokens, in plain passes.",
    "speed-up": "decode tok/s of this method over plain decoding's, whole answers of this chat on "
    "the same weights. With ≈ predicted instead: (1 + γα) / (γc + v(γ)/v(0)), α the acceptance.",
    "CONTEXT": "tokens of the conversation and its answer, of the positions there are. A sign from "
    "80 % and from 95 % on; what is full cuts the answer.",
    "MACHINE": "readings while an answer runs: of this computer, or of the container.",
    "CPU": "the busy share of all cores, whoever uses them.",
    "RAM": "memory in use, of all there is; a sign from 90 % and from 97 % on.",
    "engine RSS": "bytes of memory that the engine's own process holds.",
    "GPU": "the busy share of the GPU by its driver; – where there is none.",
    "VRAM": "GPU memory that all programs use, of all there is; a sign from 90 % and from 97 % on.",
    "ENGINE": "what answers, as the engine itself says, not as it was asked for.",
    "model": "the weights in use, and the number format of their file.",
    "runtime": "what runs the weights, and the method that decodes; a method changes the speed and "
    "never the words, but for beam search.",
    "weights": "how the weights are held after loading, where, and by how many threads.",
    "NOT SAVED": "the log cannot be written, so this chat is in memory only; /save PATH keeps it.",
    "SAMPLING": "how a token is picked, in the last answer, and the most tokens of one.",
    "next": "set, and not in use before the next answer.",
    "LAST TURNS": "decode tok/s and acceptance of the latest answers; F3 has all of them.",
}


def definition(figure: str) -> str:
    """ "NAME: what it means.", or "" for what is no figure."""
    meaning = DEFINITIONS.get(figure, "")
    return f"{figure}: {meaning}" if meaning else ""
