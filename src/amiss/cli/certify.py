"""``amiss certify``: what can be shown on parts that the model never saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.common_options import Json, Model, output_option
from amiss.cli.console import hold_folder, progress_display, say, say_json, unusable_lines
from amiss.cli.exit_codes import ExitCode
from amiss.cli.pages_option import Pages
from amiss.cli.rule_options import Future
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.checks import read_rate

if TYPE_CHECKING:
    from amiss.evaluation.certificate import Certificate


DataOption = Annotated[
    str, typer.Argument(help="Data set with good and defective test parts that the model has never seen.")
]
Output = Annotated[Path | None, output_option("Folder for certificate.html and certificate.json.")]
ConfidenceOption = Annotated[str, typer.Option(help="Confidence level of every bound: 0.95 or 95%.")]
FalseAlarm = Annotated[str | None, typer.Option(help="Required false-alarm rate, such as 1%.")]
Escape = Annotated[str | None, typer.Option(help="Required escape rate, such as 5%.")]
Sequential = Annotated[
    bool,
    typer.Option(
        "--sequential",
        help="Inspect part after part, or lot after lot where lots are known, and stop as soon as the required "
        "rates are shown or refuted; the bounds hold at every look.",
    ),
]


def certify(
    context: typer.Context,
    model: Model,
    data: DataOption,
    output: Output = None,
    confidence: ConfidenceOption = "0.95",
    false_alarm: FalseAlarm = None,
    escape: Escape = None,
    sequential: Sequential = False,
    future: Future = None,
    pages: Pages = "one",
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """State false-alarm and escape rates with their bounds. Exits with 4 when a required rate was not shown."""
    from amiss.evaluation import certify as show
    from amiss.evaluation import open_for
    from amiss.front import load
    from amiss.reporting import write_certificate

    hold_folder(context, output)
    sure = read_rate("confidence", confidence)
    demands = [read_rate("rate", text) if text else None for text in (false_alarm, escape)]
    inspector = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    dataset = open_for(data, inspector, pages=pages)
    with progress_display() as progress:
        certificate = show(
            inspector,
            dataset,
            confidence=sure,
            false_alarm=demands[0],
            escape=demands[1],
            sequential=sequential,
            future=future,
            progress=progress,
        )
    written = [] if output is None else write_certificate(output, certificate, model.name)
    if json:
        say_json(certificate.summary())
    else:
        say(*_lines(certificate), *(f"Written to {page}" for page in written))
    if not certificate.shown:
        raise typer.Exit(ExitCode.PROMISE)


def _lines(certificate: Certificate) -> list[str]:
    findings = {"false alarms": certificate.false_alarms, "escapes": certificate.escapes}
    findings |= {f"{truth} parts for review": finding for truth, finding in certificate.reviews.items()}
    findings |= {f"escapes, {kind}": finding for kind, finding in certificate.per_defect.items()}
    findings |= {f"false alarms, lot {lot}": finding for lot, finding in certificate.per_lot.items()}
    return [
        f"{certificate.dataset}: {len(certificate.entries)} images that {certificate.method} has never seen, "
        f"{certificate.date}",
        certificate.in_short(),
        *(f"{title + ':':<28} {finding.words()}" for title, finding in findings.items()),
        certificate.bounds_words(),
        *([] if certificate.looks is None else [certificate.looks.words()]),
        *unusable_lines([(entry.name, entry.verdict.reason) for entry in certificate.errors]),
        *(f"Mind: {warning}" for warning in certificate.warnings),
        f"Inspector: SHA-256 {certificate.fingerprint}",
    ]
