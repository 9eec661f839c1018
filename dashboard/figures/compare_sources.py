"""What is compared: shadow covers of one job, the variants of a race, or jobs picked by hand. Pure.

Vocabulary:

* **contender**: one of what stands side by side: a cover that a job trains with or follows as a shadow, or a job.
* **place**: its number on the page, from 0; decides colour, dash and symbol, so that all charts agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dashboard.figures.cover_names import cover_name
from dashboard.figures.labels import job_label
from sm3.remote.comparison_views import ComparisonView
from sm3.remote.cover_specs import SingletonsSpec
from sm3.remote.optimizer_specs import Sm3Spec
from sm3.remote.record_specs import ShadowSpec, label_of
from sm3.remote.wire import JobView

MAX_CONTENDERS = 6
MAX_JOBS = 12
OWN = "own"
"""The key of the cover that a job itself trains with, beside its shadows' labels."""


class Source(StrEnum):
    """Where the contenders come from."""

    SHADOWS = "shadows"
    RACE = "race"
    JOBS = "jobs"


@dataclass(frozen=True)
class Asked:
    """What the page's address asks for.

    Attributes:
        source: where contenders come from; None: whatever there is.
        race: id of a comparison, or ''.
        jobs: ids of jobs: one for its shadows.
        covers: keys of the contenders to show; none: the first six.
        tensor: name of the tensor that is shown, or ''.
        step: the step that is shown; None: the newest.
        seed: of a race, the seed whose jobs the maps show; None: the first.
        show: ``tightness`` or ``nu``; '': the first of them that is recorded.
        reference: key of the contender that the others are compared with, or ''.
        series: the loss that is drawn, ``val_loss`` or ``loss``; '': validation where there are a few.
        faults: what in the address cannot be read, a sentence each.
    """

    source: Source | None = None
    race: str = ""
    jobs: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    tensor: str = ""
    step: int | None = None
    seed: int | None = None
    show: str = ""
    reference: str = ""
    series: str = ""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contender:
    """One of what stands side by side.

    Attributes:
        key: what the address calls it.
        name: what the page calls it.
        place: from 0.
        job: the job whose frames show it; None where that is gone.
        shadow: the shadow that it is; None: what the job itself trains with.
        jobs: all its jobs; in a race one a seed.
    """

    key: str
    name: str
    place: int
    job: JobView | None
    shadow: ShadowSpec | None = None
    jobs: tuple[JobView, ...] = ()

    @property
    def at(self) -> str:
        """What its statistics' names end in: ``@label`` for a shadow."""
        return "" if self.shadow is None else f"@{label_of(self.shadow)}"


def asked(query: Mapping[str, Sequence[str]]) -> Asked:
    """Returns what a page's address asks for; what it cannot mean is told in ``faults``.

    >>> asked({"job": ["a", "b"], "step": ["many"]}).faults
    ("The address asks for step 'many', which is no number: the newest is shown.",)
    """
    faults = []

    def one(name: str, allowed: Sequence[str] = ()) -> str:
        given = (list(query.get(name, ())) or [""])[-1]
        if given and allowed and given not in allowed:
            faults.append(
                f"The address asks for {name} {given[:80]!r}; there are {', '.join(allowed)}: the usual is shown."
            )
            return ""
        return given

    def number(name: str, usual: str, digits: int) -> int | None:
        given = one(name)
        if given.isdecimal() and given.isascii() and len(given) <= digits:
            return int(given)
        if given:
            faults.append(
                f"The address asks for {name} {given[:80]!r}, which is no number: {usual} is shown."
            )
        return None

    step, seed = number("step", "the newest", 15), number("seed", "the first", 19)
    jobs = tuple(dict.fromkeys(filter(None, query.get("job", ()))))
    if len(jobs) > MAX_JOBS:
        faults.append(f"The address names {len(jobs)} jobs; the first {MAX_JOBS} are looked at.")
        jobs = jobs[:MAX_JOBS]
    race = one("race")
    named = one("source", list(Source))
    guess = Source.RACE if race else Source.SHADOWS if len(jobs) == 1 else Source.JOBS if jobs else None
    return Asked(
        source=Source(named) if named else guess,
        race=race,
        jobs=jobs,
        covers=tuple(dict.fromkeys(filter(None, query.get("cover", ())))),
        tensor=one("tensor"),
        step=step,
        seed=seed,
        show=one("show", ("tightness", "nu")),
        reference=one("reference"),
        series=one("series", ("val_loss", "loss")),
        faults=tuple(faults),
    )


def of_shadows(job: JobView) -> tuple[Contender, ...]:
    """Returns the cover that ``job`` trains with and its shadows."""
    own = Contender(OWN, f"{optimizer_words(job)}, trains", 0, job, None, (job,))
    shadows = (
        Contender(label_of(shadow), _shadow_name(shadow), place, job, shadow, (job,))
        for place, shadow in enumerate(job.spec.record.shadows, start=1)
    )
    return (own, *shadows)


def _shadow_name(shadow: ShadowSpec) -> str:
    """Returns the shadow's label; singletons, unless given a label of their own, are called what they are."""
    is_truth = isinstance(shadow.cover, SingletonsSpec) and label_of(shadow) == shadow.cover.kind
    return "AdaGrad (truth)" if is_truth else label_of(shadow)


def of_race(race: ComparisonView, jobs: Sequence[JobView], seed: int | None = None) -> tuple[Contender, ...]:
    """Returns the variants of ``race``; maps show each one's job at ``seed``, else at the first that is still there."""
    known = {job.id: job for job in jobs}
    found = []
    for place, variant in enumerate(race.variants):
        own = tuple(known[job_id] for job_id in variant.jobs if job_id in known)
        shown = next((job for job in own if job.spec.seed == seed), own[0] if own else None)
        found.append(Contender(variant.name, variant.name, place, shown, None, own))
    return tuple(found)


def of_jobs(jobs: Sequence[JobView]) -> tuple[Contender, ...]:
    """Returns the jobs, called by their covers or optimizers where those tell them apart, else by their ids."""
    words = [optimizer_words(job) for job in jobs]
    counts = Counter(words)
    return tuple(
        Contender(
            job.id,
            word if counts[word] == 1 else f"{word} · {job.id[-4:]}",
            place,
            job,
            None,
            (job,),
        )
        for place, (job, word) in enumerate(zip(jobs, words, strict=True))
    )


def chosen(
    contenders: Sequence[Contender], covers: Sequence[str]
) -> tuple[tuple[Contender, ...], tuple[str, ...]]:
    """Returns at most six of ``contenders``, those that ``covers`` names if it names any, and what to say of that."""
    known = {contender.key for contender in contenders}
    said = [f"No cover here is called {key[:80]!r}." for key in covers if key not in known]
    wanted = [c for c in contenders if c.key in covers] or list(contenders)
    if len(wanted) > MAX_CONTENDERS:
        said.append(f"Side by side are the first {MAX_CONTENDERS} of {len(wanted)}: choose others above.")
    return tuple(wanted[:MAX_CONTENDERS]), tuple(said)


def settled(want: Asked, races: Sequence[ComparisonView], jobs: Sequence[JobView]) -> Asked:
    """Returns ``want`` with what it leaves open filled in: the newest race, else shadows, else two jobs.

    ``races`` and ``jobs`` are newest first. The source stays None where there is nothing to compare.
    """
    followed = [job.id for job in jobs if job.spec.record.shadows]
    source = want.source
    if source is None:
        source = (
            Source.RACE if races else Source.SHADOWS if followed else Source.JOBS if len(jobs) > 1 else None
        )
    if source is Source.RACE and not want.race and races:
        return replace(want, source=source, race=races[0].id)
    if source is Source.SHADOWS and not want.jobs and followed:
        return replace(want, source=source, jobs=(followed[0],))
    if source is Source.JOBS and not want.jobs and jobs:
        alike = [job.id for job in jobs if job.spec.recipe.name == jobs[0].spec.recipe.name]
        return replace(want, source=source, jobs=tuple(alike[:2]))
    return replace(want, source=source)


def address(want: Asked) -> dict[str, str | list[str]]:
    """Returns the part of the address that says whom ``want`` compares."""
    found: dict[str, str | list[str]] = {} if want.source is None else {"source": want.source.value}
    if want.race:
        found["race"] = want.race
    if want.jobs:
        found["job"] = list(want.jobs)
    return found


def loss_series(want: Asked, contenders: Sequence[Contender]) -> str:
    """Returns the loss to draw: as asked, else validation where every run has at least three of them."""
    specs = [job.spec for contender in contenders for job in contender.jobs]
    few = any(spec.steps < 2 * spec.validation.every for spec in specs)
    return want.series or ("loss" if few else "val_loss")


def optimizer_words(job: JobView) -> str:
    """Returns the cover of a job that trains with SM3, else its optimizer's name."""
    optimizer = job.spec.optimizer
    if not isinstance(optimizer, Sm3Spec):
        return optimizer.name
    words = cover_name(optimizer.cover)
    return f"{words} with rules" if optimizer.rules else words


def race_label(race: ComparisonView) -> str:
    """Returns what a list calls a race."""
    return f"{race.label or ', '.join(v.name for v in race.variants)} · {race.id[-4:]}"[:120]


def shadows_label(job: JobView) -> str:
    """Returns what a list calls a job whose shadows can be compared."""
    return f"{job_label(job)} · {len(job.spec.record.shadows)} shadows"
