"""`camq evaluate`: how faithful the maps of several methods are."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from msgspec import UNSET

from producer.cli.common import emit, json_option, say, services
from producer.cli.parameters import choice, complete_models, recent_jobs, whole
from producer.cli.paths import all_of, given_pictures, manifest_options
from producer.cli.waiting import exit_status, resumable_watch, wait_for
from producer.formatting import count
from producer.lookup import EVALUATION, find_job
from shared.checks.options import OPTIONS
from shared.contract import (
    EVALUATION_FORWARDS,
    RANDOMISED_FORWARDS,
    SLOW_METHODS,
    TRUTH_FROM,
    ImageRef,
    ModelCard,
    Options,
    TruthFrom,
)
from shared.errors import UnknownJobError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from producer.services import Services

T = TypeVar("T")


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from producer.cli.paths import complete_files

    return recent_jobs(context, parameter, incomplete) + complete_files(context, parameter, incomplete)


@click.command()
@click.argument("given", metavar="PATHS...|JOB", nargs=-1, shell_complete=_complete)
@click.option(
    "--methods",
    metavar="LIST",
    help="Methods to evaluate, as in cam,layercam.  [default: all of the model's but the slow ones]",
)
@click.option("--sample", metavar="N", type=whole(1), help="Evaluate only N pictures, chosen at random.")
@manifest_options
@click.option("--truth", type=choice(TRUTH_FROM), help="As for `camq submit`: a box then belongs to the true class.")
@click.option(
    "--model", metavar="M", shell_complete=complete_models, help="Model to use.  [default: JOB's, or the one served]"
)
@click.option(
    "--randomise",
    is_flag=True,
    help="Also measure what is left of the maps while the network's layers become random: the less, the better.",
)
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the numbers and their curves as an HTML page.",
)
@click.option("--name", metavar="TEXT", help="Name of the job, shown by `camq status` and `camq jobs`.")
@json_option
def evaluate(
    *,
    given: tuple[str, ...],
    methods: str | None,
    sample: int | None,
    manifest: str | None,
    source_column: str | None,
    truth: TruthFrom | None,
    model: str | None,
    randomise: bool,
    report: Path | None,
    name: str | None,
    as_json: bool,
) -> int:
    """Measure how faithful the maps of several methods are, as a job on the workers.

    The pictures are PATHS, as for `camq submit`, or those of a JOB. For each method, each picture is changed where
    the map of its best class points, and the network runs again, fifty times in all. If the manifest has boxes, camq
    also measures whether maps find them. Prints each metric's mean with its 95% confidence interval. For a job that
    was evaluated already, `camq evaluate JOB` only prints its numbers again. The job has the tag `evaluation`,
    and only this command takes it for `latest`.

    \b
    Examples:
      camq evaluate photos/ --methods cam,layercam,eigencam
      camq evaluate 20261123-081502-3f9ac2 --sample 200
      camq evaluate --manifest boxes.csv --truth labels --json
      camq evaluate latest --methods cam,gradcam --randomise --report trust.html
    """
    from producer.inputs.expand import Expansion
    from producer.progress import Display
    from producer.submission.model_choice import resolve
    from producer.submission.request import Request
    from producer.submission.submit import Listener, submit
    from producer.written_folder import check_page

    if report:
        check_page(report)  # before the work
    with services() as reach:
        known = _known_job(reach, given) if manifest is None else None
        if known is not None and not (methods or sample or model or randomise) and reach.ledger.options(known).evaluate:
            return _conclude(reach, known, report, as_json=as_json)
        before = None if known is None else reach.ledger.status(known).model
        card, _ = resolve(reach.ledger, model or before or reach.settings.model)
        chosen = _named(methods) if methods else _quick_methods(card)
        options: dict[str, object] = {"evaluate": chosen, "top_k": 1}
        if randomise:
            options["randomise"] = True
        if known is not None:
            options |= preparation(reach.ledger.options(known), same_model=card.model == before)
            pictures: Iterable[object] = pictures_of(reach, known, card, sample)
        elif sample is None:
            pictures = all_of(given_pictures(given, manifest, source_column))
        else:
            names = all_of(given_pictures(given, manifest, source_column))
            pictures = _sampled(Expansion(names, store=lambda: reach.store, notice=say), sample)
        request = Request(
            model=model or before,
            options=options,
            priority="bulk",
            name=name,
            tags=(EVALUATION,),
            truth=truth,
        )
        with Display() as display:
            announce = partial(_announce, cost=_cost(chosen, randomise=randomise))
            heard = Listener(job=announce, progress=display.upload, notice=display.notice, chosen=display.notice)
            job = submit(reach, pictures, request, heard)
        return _conclude(reach, job, report, as_json=as_json)


def _announce(job: str, cost: str) -> None:
    say(f"job {job}; to see its numbers later: camq evaluate {job}\n{cost}")


def _cost(methods: Sequence[str], *, randomise: bool) -> str:
    """What each picture asks of the network."""
    several = count(len(set(methods)), "method")
    more = f" and {RANDOMISED_FORWARDS} with random layers" if randomise else ""
    return f"for each picture: {EVALUATION_FORWARDS} forwards for each of {several}{more}"


def _known_job(reach: Services, given: tuple[str, ...]) -> str | None:
    """The job that the one argument means; None where it means pictures. UsageError where both are there."""
    if len(given) != 1:
        return None
    (one,) = given
    with suppress(UnknownJobError):
        if not os.path.lexists(one):
            return find_job(reach.ledger, one, evaluations=True)
        if os.path.basename(one) == one:  # noqa: PTH119 -- ./looked is a path to the letter
            reach.ledger.status(one)
            raise UsageError(
                f"{one!r} is a job, and also a file or folder here: write ./{one} for what lies here, and for the job"
                " call camq from another folder"
            )
    return None


def _named(methods: str) -> list[str]:
    return [OPTIONS["method"].values.check("--methods", name.strip()) for name in methods.split(",")]


def _quick_methods(card: ModelCard) -> list[str]:
    return [method for method in card.methods if method not in SLOW_METHODS]


def preparation(options: Options, *, same_model: bool) -> dict[str, object]:
    """The options by which a job's pictures became the network's input; size and resizing depend on the model."""
    names = ("range", "truncated", "resize", "input_size") if same_model else ("range", "truncated")
    found = {name: getattr(options, name) for name in names}
    return {name: value for name, value in found.items() if value is not UNSET and value is not None}


def pictures_of(reach: Services, job: str, card: ModelCard, sample: int | None) -> Iterator[object]:
    """The job's pictures, with what is known of them. Their true classes go by their labels to another model."""
    from producer.inputs.notes import Labels, Notes, Row
    from producer.inputs.source import LazySource
    from producer.results.originals import references
    from shared.storage.port import SCHEME

    before = reach.ledger.status(job).model
    old = reach.ledger.card(before)
    labels = old.labels if old else ()

    def label_of(reference: ImageRef) -> Labels:
        if reference.truth is UNSET:
            return None
        if before == card.model:
            return reference.truth
        several = reference.truth if isinstance(reference.truth, tuple) else (reference.truth,)
        found = tuple(labels[index] for index in several if index < len(labels))
        return found if isinstance(reference.truth, tuple) else next(iter(found), None)

    def picture(reference: ImageRef) -> object:
        notes = Notes(
            reference.id or None,
            reference.fields or {},
            label=label_of(reference),
            box=reference.boxes or None,
        )
        page = reference.page or None
        if reference.key.startswith(SCHEME):
            return Row(f"{reference.key}#{page}" if page else reference.key, notes)
        load = partial(reach.store.get, reference.key, reach.settings.max_image_bytes)
        return LazySource(reference.source, load, 0, notes=notes, page=page)

    found = (one for one in references(reach.ledger, reach.store, job) if one.key)
    chosen = map(picture, found if sample is None else _sampled(found, sample))
    first = next(chosen, None)
    if first is None:
        raise UsageError(f"job {job} has no picture that was stored: evaluate PATHS instead")
    return chain([first], chosen)


def _sampled(items: Iterable[T], size: int) -> list[T]:
    """So many of them, each as likely as any other, in their order; always the same ones."""
    chance = random.Random(0)  # noqa: S311 - no secret depends on it
    kept: list[tuple[int, T]] = []
    for position, item in enumerate(items):
        if len(kept) < size:
            kept.append((position, item))
        elif (place := chance.randrange(position + 1)) < size:
            kept[place] = position, item
    return [item for _, item in sorted(kept, key=lambda pair: pair[0])]


def _conclude(reach: Services, job: str, report: Path | None, *, as_json: bool) -> int:
    """Waits for the job and prints what it found; the exit status."""
    from producer.cli.evaluation_listing import print_evaluation
    from producer.results.analysis.evaluation import evaluated
    from producer.web.evaluation_page import write_evaluation

    with resumable_watch(job):
        final = wait_for(reach, job)
    found = evaluated(reach, job)
    methods, sentence = found.methods, found.sentence
    if as_json:
        for method in methods:
            emit(method)
    elif methods:
        print_evaluation(methods, sentence)
    if report:
        write_evaluation(report, final, methods, sentence, notice=say)
        say(f"page: {report}") if as_json else click.echo(report)
    if final.failed:
        say(f"to see why images failed: camq results {job}")
    return exit_status(final)
