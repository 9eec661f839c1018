"""The tables of ``docs/ledger.md``, from the ledger itself; ``make ledger-table`` writes them there.

A page holds a table between ``<!-- ledger: NAME -->`` and ``<!-- end -->``; a test holds that it is what is said here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sm3.ledger.answers import predict
from sm3.ledger.catalogue import catalogue, model
from sm3.ledger.command import chosen
from sm3.ledger.fits import activation_bytes, largest_batch, largest_of
from sm3.ledger.rules.base import Step
from sm3.ledger.words import size
from sm3.remote.ledger_specs import Dtype

GIB = 2**30
MODELS = ("bert-large", "transformer-big", "gpt2-xl", "llama-3-8b")
OPTIMIZERS = (
    "sm3:momentum=0",
    "sm3:momentum_dtype=int8",
    "sm3:momentum_dtype=bf16",
    "sm3",
    "adamw",
    "adamw:amsgrad=true",
    "adagrad",
    "sgd:momentum=0",
    "sgd",
    "adafactor",
    "adafactor-transformers:momentum=true",
    "lion",
    "adamw8bit",
    "adamw8bit-torchao",
    "came",
    "adam-mini",
    "muon",
)
FITTING = ("adamw", "adamw8bit", "sm3", "sm3:momentum_dtype=int8", "sm3:momentum=0")


def state_table() -> str:
    """Optimizer state of the four models in GiB, and what each rule was compared with."""
    rows = []
    for text in OPTIMIZERS:
        ledgers = [predict(name, chosen(text)) for name in MODELS]
        rule = ledgers[0].rule
        sizes = (f"{ledger.total.state / GIB:.3f}" for ledger in ledgers)
        rows.append((rule.title, *sizes, str(rule.verified or "from the paper")))
    return _table(("optimizer state, GiB", *MODELS, "rule verified against"), rows)


def catalogue_table() -> str:
    """Every model with its count and the published one."""
    rows = [
        (
            f"`{known.name}`",
            f"{known.num_parameters:,}",
            f"{known.published_parameters:,}",
            known.published_in,
            known.provenance.removesuffix(", on meta; buffers left out"),
        )
        for known in catalogue().values()
        if known.published_parameters
    ]
    return _table(("model", "parameters", "published", "where", "shapes from"), rows)


def batch_table() -> str:
    """BERT-Large at 128 tokens in the memory that AdamW takes at batches of 8 and 64: what else fits there.

    Stepped one tensor at a time, as the paper's framework does; torch's foreach AdamW needs more for a step than eight
    samples need.
    """
    bert = model("bert-large")
    assert bert.transformer is not None
    per_sample = activation_bytes(bert.transformer, tokens=128)
    one_by_one = Step("cuda", foreach=False)
    adamw = predict("bert-large", "adamw")
    batches = (8, 64)
    memories = [adamw.total.held + batch * per_sample for batch in batches]
    rows = []
    for text in FITTING:
        ledger = predict("bert-large", chosen(text), step=one_by_one)
        fitting = (
            str(largest_batch(ledger, memory_bytes=memory, activation_bytes_per_sample=per_sample))
            for memory in memories
        )
        rows.append((ledger.rule.title, size(ledger.total.held), *fitting))
    heads = (f"batch in {size(memory)}" for memory in memories)
    return _table(("BERT-Large, 128 tokens", "held", *heads), rows)


def family_table() -> str:
    """The largest GPT-2 that holds a sample of 1,024 tokens in bf16 activations, by device memory."""
    memories = [gib * GIB for gib in (8, 12, 16, 24, 32)]
    family = [known for known in catalogue().values() if known.family == "gpt2"]
    rows = []
    for text in FITTING:
        members = []
        for known in family:
            assert known.transformer is not None
            per_sample = activation_bytes(known.transformer, dtype=Dtype.BF16)
            members.append((known.name, predict(known.name, chosen(text)), per_sample))
        fitting = (largest_of(members, memory_bytes=memory) or "–" for memory in memories)
        rows.append((members[0][1].rule.title, *fitting))
    return _table(("largest GPT-2 at batch 1", *map(size, memories)), rows)


TABLES: dict[str, Callable[[], str]] = {
    "state": state_table,
    "catalogue": catalogue_table,
    "batch": batch_table,
    "family": family_table,
}
_PLACE = re.compile(r"(<!-- ledger: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def written_in(page: str) -> Iterator[tuple[str, str]]:
    """Yields the name and the text of each table that a page holds."""
    for found in _PLACE.finditer(page):
        yield found[2], found[3].strip()


def rewritten(page: str) -> str:
    """Returns the page with every table as the ledger has it now."""
    return _PLACE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[4]}", page)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numbers = [all(re.match(r"[\d–−]", row[k]) for row in rows if row[k]) for k in range(len(heads))]
    rule = ("---:" if is_number and k else "---" for k, is_number in enumerate(numbers))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def main() -> None:
    """Prints the tables; with a page's path, writes them into it."""
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for name, table in TABLES.items():
        print(f"{name}\n\n{table()}\n")  # noqa: T201 - its output


if __name__ == "__main__":
    main()
