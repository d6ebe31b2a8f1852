from __future__ import annotations

import pytest

from tokenhud.__main__ import parser as whole_parser
from tokenhud.arguments import chosen
from tokenhud.engines.options import MAX_SEED, OptionError, Sampling, Spec, from_record, to_record


@pytest.mark.parametrize("options", [Spec(), Sampling(), Spec(threads=2), Sampling(seed=MAX_SEED)])
def test_records_bring_the_same_options_back(options):
    assert from_record(type(options), to_record(options)) == options


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (Sampling, {"temperature": -0.1}),
        (Sampling, {"temperature": float("nan")}),
        (Sampling, {"top_p": 1.01}),
        (Sampling, {"top_k": 1.5}),
        (Sampling, {"top_k": True}),
        (Sampling, {"length": 0}),
        (Sampling, {"length": None}),
        (Sampling, {"seed": -1}),
        (Sampling, {"seed": MAX_SEED + 1}),
        (Spec, {"gamma": 0}),
        (Spec, {"dtype": "int3"}),
        (Spec, {"device": 3}),
        (Spec, {"model": ""}),
        (Spec, {"context": 15}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(options, wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        from_record(options, wrong)


def test_an_unknown_option_is_refused_by_name():
    with pytest.raises(OptionError, match="no option temprature"):
        from_record(Sampling, {"temprature": 1})


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"top_k": 4, "top_p": 0.5}, "greedy"),
        ({"temperature": 1}, "multinomial"),
        ({"temperature": 1, "top_k": 4}, "topk"),
        ({"temperature": 1, "top_p": 0.5}, "nucleus"),
        ({"temperature": 1, "top_k": 4, "top_p": 0.5}, "topknucleus"),
    ],
)
def test_the_processor_is_named_by_what_is_on(options, name):
    assert Sampling(**options).processor == name


def test_a_benchmark_has_a_length_of_its_own_and_the_chat_keeps_its_default():
    parser = whole_parser()
    assert chosen(Sampling, parser.parse_args([])) == Sampling()
    assert chosen(Sampling, parser.parse_args(["ask", "x"])) == Sampling()
    assert chosen(Sampling, parser.parse_args(["bench", "peers"])).length == 128
