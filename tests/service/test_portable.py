"""The examples that `amiss export` writes, compiled and run: the same verdicts as `amiss inspect`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

import amiss
from amiss.inspector import Inspector
from amiss.portable import write_portable
from amiss.postprocess import MinArea, RegionOfInterest
from amiss.testing import toy_part

HEADERS = [Path(folder) for folder in ("/usr/include/onnxruntime", "/usr/local/include/onnxruntime")]
"""Where tests/service/install.sh, or a distribution, puts those of ONNX Runtime."""
OPENCV = Path("/usr/include/opencv4")


def built(folder: Path) -> Path:
    """inspect.cpp as a program, against the ONNX Runtime of this Python."""
    own = os.environ.get("ONNXRUNTIME_INCLUDE")
    headers = next((path for path in ([Path(own)] if own else HEADERS) if path.is_dir()), None)
    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if shutil.which("g++") is None or headers is None or not found or not OPENCV.is_dir():
        pytest.skip("g++, OpenCV's or ONNX Runtime's headers are not installed; see tests/service/install.sh")
    command = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-isystem{headers}", f"-isystem{OPENCV}"]
    command += ["inspect.cpp", "-o", "inspect", str(found[0]), f"-Wl,-rpath,{folder}"]
    command += ["-lopencv_imgcodecs", "-lopencv_imgproc", "-lopencv_core"]
    subprocess.run(command, cwd=folder, check=True)
    (folder / "libonnxruntime.so.1").symlink_to(found[0])  # the name that the program asks for
    return folder / "inspect"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Larger, smaller and oblong images, grey and in colour, PNG and JPEG, good and not; and one that is no image."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    images = [*toy_part(6, seed=5).images, *toy_part(6, seed=6, defective=True).images]
    paths = []
    for number, image in enumerate(images):
        size = [(64, 64), (150, 90), (40, 200), (30, 20)][number % 4]
        resized = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
        if number % 3 == 0 and resized.ndim == 3:
            resized = cv2.cvtColor(resized, cv2.COLOR_BGR2GRAY)
        paths.append(folder / f"{number:02d}{'.jpg' if number % 5 == 4 else '.png'}")
        cv2.imwrite(str(paths[-1]), resized)
    noise = folder / "noise.png"
    cv2.imwrite(str(noise), rng.integers(0, 256, (80, 80, 3), dtype=np.uint8))
    (folder / "broken.png").write_text("no image")
    return [*paths, noise, folder / "broken.png"]


def told(program: Path, folder: Path, files: list[Path]) -> list[list[str]]:
    out = subprocess.run([program, folder, *files], check=True, capture_output=True, text=True)
    return [line.split() for line in out.stdout.splitlines()]


def check_same(inspector: Inspector, lines: list[list[str]], files: list[Path]) -> set[str]:
    for wanted, line in zip(inspector.inspect([str(file) for file in files]), lines, strict=True):
        assert line[0] == wanted.label, (line, wanted)
        if wanted.score is not None:
            assert float(line[1]) == pytest.approx(wanted.score, rel=1e-3)
            assert float(line[2]) == pytest.approx(wanted.p_value, abs=2 / inspector.rule.n)
    return {line[0] for line in lines}


@pytest.mark.parametrize("method", ["padim", "dn2"])
def test_the_example_in_cpp_gives_the_verdicts_of_amiss(method: str, files: list[Path], tmp_path: Path):
    inside = np.ones((64, 64), bool)
    inside[:16] = False
    with_map = {"score_filters": [RegionOfInterest.of_mask(inside)], "mask_filters": [MinArea(3)]}
    inspector = amiss.fit(
        toy_part(60, seed=0).images,
        method=method,
        preset="tiny",
        size=64,
        rule="triage:20%,10%",
        calibration=0.5,
        **(with_map if method == "padim" else {}),
    )
    write_portable(inspector, tmp_path)
    program = built(tmp_path)
    labels = check_same(inspector, told(program, tmp_path, files), files)
    assert {"anomalous", "error"} <= labels
    golden = [tmp_path / f"golden-{number}.png" for number in (1, 2, 3)]
    check_same(inspector, told(program, tmp_path, golden), golden)


def test_the_example_in_c_sharp_gives_the_verdicts_of_amiss(files: list[Path], tmp_path: Path):
    if shutil.which("dotnet") is None:
        pytest.skip("dotnet is not installed")
    inspector = amiss.fit(toy_part(60, seed=0).images, method="padim", preset="tiny", size=64, calibration=0.5)
    write_portable(inspector, tmp_path / "model")
    home = tmp_path / "inspect"
    for words in (
        ["new", "console", "-o", str(home)],
        *(["add", str(home), "package", name] for name in ("Microsoft.ML.OnnxRuntime", "OpenCvSharp4")),
        ["add", str(home), "package", "OpenCvSharp4.official.runtime.linux-x64"],
    ):
        done = subprocess.run(["dotnet", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"dotnet {' '.join(words[:1])} does not work here: {done.stdout[-300:]}")
    shutil.copy(tmp_path / "model" / "Inspect.cs", home / "Program.cs")
    subprocess.run(["dotnet", "build", home, "-o", home / "out"], check=True, capture_output=True)
    check_same(inspector, told(home / "out" / "inspect", tmp_path / "model", files), files)
