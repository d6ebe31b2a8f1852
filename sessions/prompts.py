"""The prompts that benchmarks use when they are given none."""

from __future__ import annotations

_CODE = '''def average_price(items, currency):
    """Return the average price of all items in one currency."""
    total = 0.0
    count = 0
    for item in items:
        if item.currency != currency:
            continue
        total += item.price * item.quantity
        count += item.quantity
    if count == 0:
        raise ValueError("no items in this currency")
    return total / count


def cheapest(items, currency):
    """Return the item with the lowest price in one currency."""
    best = None
    for item in items:
        if item.currency != currency:
            continue
        if best is None or item.price < best.price:
            best = item
    return best'''

_PASSAGE = """The lighthouse stood on a narrow rock three miles from the harbour. It was built in \
1848 from grey granite, and for ninety years its lamp was tended by two keepers who changed places \
every month. In winter the supply boat often could not land, and the keepers lived on salted fish, \
hard bread and tea until the sea was calm again. A small library of forty books was kept in the \
room below the lamp, and each keeper wrote his name and the date on the last page of every book \
that he had finished."""

PROMPTS = {
    "dialogue": "What is the capital of France, and what would you show a friend there in one day?",
    "translate": "Translate to English: Je m'appelle Romain. J'habite à Lyon et j'aime la musique.",
    "long": "Write a long essay about the history of artificial intelligence.",
    "code": "Write a Python function calculate_sum that adds the even numbers of a list.",
    "rewrite": (
        "Rename `best` to `lowest` in this code and write out all of it:\n\n"
        f"```python\n{_CODE}\n```"
    ),
    "quote": f"{_PASSAGE}\n\nCopy the text above exactly, from the first word to the last.",
}
REPEATING = ("rewrite", "quote")  # whose answers repeat the prompt
