"""The quickest runtime is found once, kept for this graph and machine, and found again where it cannot be kept."""

import json
import time

import numpy as np
import pytest

from amiss.core.errors import ArtefactError, InputError, ParityError
from amiss.runtime import Graph, choice, installed, open_graph
from amiss.runtime.graph import Program, onnxruntime_engine

IMAGE = np.zeros((1, 64, 64, 3), np.uint8)


def engine(name, seconds=0.0, offset=0.0):
    """ONNX Runtime under another name, slower and with other scores where wanted; counts its loads and runs."""

    def load(model, cores):
        load.loads += 1
        real = onnxruntime_engine(model, cores)

        def run(pixels):
            load.runs += 1
            time.sleep(seconds)
            return [output + np.float32(offset) for output in real.run(pixels)]

        return Program(name, real.threads, real.shape, real.kind, real.results, run)

    load.loads = load.runs = 0
    return load


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def two(monkeypatch, cache):
    """Two runtimes, the second far quicker."""
    engines = {"onnxruntime": engine("onnxruntime", 0.02), "openvino": engine("openvino")}
    monkeypatch.setattr(choice, "ENGINES", engines)
    monkeypatch.setattr(choice, "installed", lambda: {"onnxruntime": "1", "openvino": "2"})
    return engines


def runs(engines):
    return [one.runs for one in engines.values()]


def test_the_quickest_is_taken_and_kept_and_not_timed_again(model, two, cache):
    assert open_graph(model, "auto", IMAGE).program.runtime == "openvino"
    assert runs(two) == [2 * choice.RUNS] * 2
    (file,) = cache.iterdir()
    content = json.loads(file.read_bytes())
    assert content["backend"] == "openvino" and content["versions"] == {"onnxruntime": "1", "openvino": "2"}
    assert content["milliseconds"]["onnxruntime"] >= 20 > content["milliseconds"]["openvino"]
    assert open_graph(model, "auto", IMAGE).program.runtime == "openvino"
    assert runs(two) == [2 * choice.RUNS] * 2 and [one.loads for one in two.values()] == [1, 2]


def test_another_graph_other_versions_and_other_threads_are_timed_anew(model, two, cache, monkeypatch):
    open_graph(model, "auto", IMAGE)
    monkeypatch.setenv("AMISS_THREADS", "2" if choice.threads() == 1 else "1")
    open_graph(model, "auto", IMAGE)
    monkeypatch.setattr(choice, "installed", lambda: {"onnxruntime": "1", "openvino": "3"})
    open_graph(model, "auto", IMAGE)
    monkeypatch.setattr(choice, "processor", lambda: "another")
    open_graph(model, "auto", IMAGE)
    assert len(list(cache.iterdir())) == 4 and runs(two) == [8 * choice.RUNS] * 2


DAMAGES = [
    b"",
    b"\xff\xfe{",
    b"[" * 100_000,
    b"[]",
    b"null",
    lambda content: {**content, "backend": "rocm"},
    lambda content: {**content, "backend": ["openvino"]},
    lambda content: {**content, "graph": "0" * 64},
    lambda content: {"backend": "openvino"},
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_choice_is_made_again(model, two, cache, damage):
    open_graph(model, "auto", IMAGE)
    (file,) = cache.iterdir()
    before = file.read_bytes()
    file.write_bytes(damage if isinstance(damage, bytes) else json.dumps(damage(json.loads(before))).encode())
    assert open_graph(model, "auto", IMAGE).program.runtime == "openvino"
    assert runs(two) == [4 * choice.RUNS] * 2
    assert json.loads(file.read_bytes())["backend"] == "openvino"


def test_where_nothing_can_be_kept_it_is_timed_at_every_load(model, two, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"not a folder")
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path / "file" / "inside"))
    for times in (1, 2):
        assert open_graph(model, "auto", IMAGE).program.runtime == "openvino"
        assert runs(two) == [2 * times * choice.RUNS] * 2


def test_the_cache_folder_of_the_user(model, two, tmp_path, monkeypatch):
    monkeypatch.delenv("AMISS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    open_graph(model, "auto", IMAGE)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    open_graph(model, "auto", IMAGE)
    names = [[file.name for file in (tmp_path / folder).iterdir()] for folder in ("xdg/amiss", "home/.cache/amiss")]
    assert names[0] == names[1] and len(names[0]) == 1


def wants(value):
    def check(graph):
        if abs(graph.run(IMAGE).image[0] - value) > 1e-3:
            raise ParityError("golden images score differently here")

    return check


def test_a_runtime_with_other_scores_is_never_chosen(model, cache, monkeypatch):
    engines = {"onnxruntime": engine("onnxruntime", 0.01), "openvino": engine("openvino", offset=1.0)}
    monkeypatch.setattr(choice, "installed", lambda: {"onnxruntime": "1", "openvino": "2"})
    monkeypatch.setattr(choice, "ENGINES", engines)
    right = wants(Graph(model).run(IMAGE).image[0])
    assert open_graph(model, "auto", IMAGE, right).program.runtime == "onnxruntime"
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes().replace(b'"backend": "onnxruntime"', b'"backend": "openvino"'))
    assert open_graph(model, "auto", IMAGE, right).program.runtime == "onnxruntime"
    with pytest.raises(ParityError, match="golden images"):
        open_graph(model, "auto", IMAGE, wants(-1.0))


def test_a_graph_that_no_runtime_loads_is_refused(two):
    with pytest.raises(ArtefactError, match="the graph"):
        open_graph(b"garbage", "auto", IMAGE)


def test_one_runtime_leaves_no_choice_and_is_not_timed(model, cache, monkeypatch):
    monkeypatch.setattr(choice, "installed", lambda: {"onnxruntime": "1"})
    assert open_graph(model, "auto", IMAGE).program.runtime == "onnxruntime"
    assert not cache.exists()


def test_an_unknown_backend_is_refused(model):
    with pytest.raises(InputError, match=r"backend must be one of auto, cuda, onnxruntime, openvino.*got 'rocm'"):
        open_graph(model, "rocm", IMAGE)


@pytest.mark.skipif("openvino" not in installed(), reason="OpenVINO comes with amiss[openvino]")
def test_real_runtimes_are_timed(model, cache):
    graph = open_graph(model, "auto", IMAGE)
    (file,) = cache.iterdir()
    content = json.loads(file.read_bytes())
    assert content["versions"] == installed() and graph.program.runtime == content["backend"]
    assert set(content["milliseconds"]) == {"onnxruntime", "openvino"}
    assert content["milliseconds"][content["backend"]] == min(content["milliseconds"].values()) > 0
