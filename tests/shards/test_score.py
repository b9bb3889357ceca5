"""Scores by blocks: the same bytes whoever works, every row once, and what goes wrong is named."""

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
from pyarrow import parquet

import amiss
from amiss.core.errors import DataError, OutputError
from amiss.core.images import Images
from amiss.shards import run as runs
from amiss.shards.blocks import Shard, cut
from amiss.shards.local import LocalPool
from amiss.shards.manifest import Manifest
from amiss.shards.merge import Kinds, merge
from amiss.shards.parts import part_path
from amiss.shards.pool import run_blocks
from amiss.shards.score import chosen_backend
from amiss.shards.tasks import Answer
from tests.shards.toy_run import ROWS, SIZE, Here, go, tell


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch):
    """Workers in this process, so that a run takes no second."""

    def use(reverse: bool = False) -> list[Here]:
        pools: list[Here] = []

        def make(options: object, task: object) -> Here:
            pools.append(Here(task, reverse))
            return pools[-1]

        monkeypatch.setattr(runs, "open_pool", make)
        return pools

    return use


@pytest.fixture(scope="module")
def merged(inspector, model, table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of a run in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "open_pool", lambda options, task: Here(task))
        output = tmp_path_factory.mktemp("once")
        scored = go(inspector, model, table, output)
    assert (scored.images, scored.blocks, scored.before, scored.errors, scored.failed) == (23, 5, 0, 4, {})
    return merge(output).path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_row_once_and_as_inspect_says(inspector, table, merged):
    found = parquet.read_table(merged).to_pylist()
    assert [row["row"] for row in found] == [*range(23)]
    assert [row["name"] for row in found] == list(ROWS)
    paths = [table.parent / name for name in ROWS if name.startswith("0")]
    verdicts = iter(inspector.inspect(Images(paths)))
    for row in found:
        if row["name"].startswith("0"):
            verdict = next(verdicts)
            assert (row["score"], row["p_value"], row["label"]) == (verdict.score, verdict.p_value, verdict.label)
            assert row["sha256"] == verdict.sha256 == sha256(table.parent / row["name"])
    reasons = [row["reason"] for row in found if row["label"] == "error"]
    assert reasons[0] == "the row has no path" and "leads out" in reasons[2]
    assert "No such file" in reasons[1] and "not a PNG" in reasons[3] and len(reasons) == 4
    head = json.loads(parquet.read_schema(merged).metadata[b"amiss"])
    assert head["run"]["fingerprint"] == inspector.fingerprint and head["run"]["rule"]["n"] == inspector.rule.n
    assert head["kinds"][0]["runtime"] == "onnxruntime" and head["kinds"][0]["flags"] is not None


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_same_names_from_every_kind_of_table(tmp_path: Path, table, kind: str):
    path = tmp_path / f"list.{kind}"
    if kind == "csv":
        path.write_bytes(table.read_bytes())
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"path": name or None}) + "\n" for name in ROWS))
    else:
        import pyarrow as pa

        parquet.write_table(pa.table({"path": [name or None for name in ROWS]}), path)
    assert Manifest(path).look() == Manifest(table).look() and tuple(Manifest(path).names()) == ROWS


def test_shards_in_any_order_and_a_damaged_part(inspector, model, table, merged, here, tmp_path: Path):
    here(reverse=True)
    for index in (2, 0):
        go(inspector, model, table, tmp_path, shard=Shard(index, 3))
    with pytest.raises(DataError, match=r"2 of 5 blocks have no whole part: 1, 4"):
        merge(tmp_path)
    assert not (tmp_path / "scores.parquet").exists()
    scored = go(inspector, model, table, tmp_path, shard=Shard(1, 3))
    assert (scored.images, scored.blocks) == (8, 2)
    path = part_path(tmp_path, 3)
    path.write_bytes(path.read_bytes()[:-200] + bytes(200))
    with pytest.raises(DataError, match="1 of 5 blocks"):
        merge(tmp_path)
    pools = here()
    assert go(inspector, model, table, tmp_path).before == 4 and pools[0].count == 1
    assert sha256(merge(tmp_path).path) == sha256(merged)


def test_every_changed_byte_of_the_rows_is_found(inspector, model, table, here, tmp_path: Path):
    """A part with another score, correct in every other way, is not taken."""
    import pyarrow as pa

    here()
    go(inspector, model, table, tmp_path)
    path = part_path(tmp_path, 0)
    found = parquet.read_table(path)
    scores = found["score"].to_pylist()
    scores[0] = scores[0] + 1
    changed = found.set_column(3, "score", pa.array(scores, pa.float32()))
    parquet.write_table(changed, path)
    pools = here()
    assert go(inspector, model, table, tmp_path).before == 4 and pools[0].count == 1


def test_another_run_is_refused(inspector, model, table, here, tmp_path: Path):
    here()
    go(inspector, model, table, tmp_path)
    before = sha256(merge(tmp_path).path)
    other = inspector.with_rule(amiss.Conformal(0.1))
    with pytest.raises(OutputError, match=r"another run \(other fingerprint, rule\)"):
        go(other, model, table, tmp_path)
    with pytest.raises(OutputError, match="names"):
        go(inspector, model, table.parent, tmp_path)
    assert sha256(merge(tmp_path).path) == before
    with pytest.raises(DataError, match=r"must be the output of amiss score"):
        merge(tmp_path / "parts")


def test_workers_that_are_killed(inspector, model, table, merged, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Two processes; block 3 kills its worker each time, block 0 once. The rest goes on, and so does a restart."""
    kills = {0: 1, 3: 3}

    class Deadly(LocalPool):
        def submit(self, block):
            super().submit(block)

        def _serve(self, child):
            ask = child.ask

            def deadly(block):
                if kills.get(block.number, 0):
                    kills[block.number] -= 1
                    os.kill((child.process or child._start()).pid, signal.SIGKILL)
                return ask(block)

            child.ask = deadly
            super()._serve(child)

    monkeypatch.setattr(runs, "open_pool", lambda options, task: Deadly(task, 2))
    scored = go(inspector, model, table, tmp_path)
    assert list(scored.failed) == [3] and "a worker" in scored.failed[3] and kills == {0: 0, 3: 0}
    with pytest.raises(DataError, match="1 of 5 blocks have no whole part: 3"):
        merge(tmp_path)
    monkeypatch.setattr(runs, "open_pool", lambda options, task: Here(task))
    assert go(inspector, model, table, tmp_path).failed == {}
    assert sha256(merge(tmp_path).path) == sha256(merged)


def test_three_tries_and_a_full_disk():
    tried: list[int] = []

    class Scripted(Here):
        def take(self):
            block = self.asked.popleft()
            tried.append(block.number)
            return block, Answer("no") if block.number == 1 else Answer(
                full=block.number == 4, error="full" * (block.number == 4)
            )

    blocks = list(cut("abcde", 1))
    found = [(block.number, answer.error) for block, answer in run_blocks(Scripted(None), blocks[:4])]
    assert sorted(found) == [(0, ""), (1, "no"), (2, ""), (3, "")] and tried.count(1) == 3 and len(tried) == 6
    with pytest.raises(OutputError, match="full"):
        list(run_blocks(Scripted(None), blocks[4:]))


def test_a_model_that_is_replaced_meanwhile(inspector, model, table, tmp_path: Path):
    task = tell(model, table, tmp_path)({**runs.run_id(inspector, Manifest(table), SIZE), "fingerprint": "other"})
    assert "not the model any more" in task.answer(next(cut(ROWS, SIZE))).error


def test_auto_is_chosen_once(inspector):
    """No two workers may choose differently."""
    assert chosen_backend(inspector, "auto") == "onnxruntime" and chosen_backend(inspector, "openvino") == "openvino"


def test_kinds_of_machines():
    one = {"runtime": "onnxruntime", "version": "1", "processor": "A", "machine": "x86_64", "flags": "avx2"}
    two = {**one, "processor": "B"}
    kinds = Kinds(1e-3)
    kinds.add(one, [1.0, 2.0])
    kinds.add(dict(one), [1.0, 2.0])
    assert kinds.words() == []
    with pytest.raises(DataError, match=r"onnxruntime 1 on A and onnxruntime 1 on B; --mixed"):
        kinds.add(two, [1.0, 2.0])
    mixed = Kinds(1e-3, mixed=True)
    mixed.add(one, [1.0, 2.0])
    mixed.add(two, [1.0, 2.001])
    assert "2 kinds of machines" in mixed.words()[0] and "0.0005" in mixed.words()[0]
    with pytest.raises(DataError, match=r"0\.001 is allowed"):
        mixed.add({**one, "version": "2"}, [1.0, 2.1])
    broken = Kinds(1e-3, mixed=True)
    broken.add(one, [1.0])
    with pytest.raises(DataError, match="differently"):
        broken.add(two, [float("nan")])


def test_parts_of_two_kinds(inspector, model, table, here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A node with another processor: refused where its shard begins, or taken and said."""
    from amiss.shards import score as scoring

    here()
    go(inspector, model, table, tmp_path, shard=Shard(0, 2))
    real = scoring.machine_kind
    other = lambda found: {**real(found), "processor": "another"}  # noqa: E731
    for module in (scoring, runs):
        monkeypatch.setattr(module, "machine_kind", other)
    with pytest.raises(DataError, match="one kind of machine"):
        go(inspector, model, table, tmp_path)
    go(inspector, model, table, tmp_path, mixed=True)
    with pytest.raises(DataError, match="one kind of machine"):
        merge(tmp_path)
    found = merge(tmp_path, mixed=True)
    assert "2 kinds of machines" in found.notes[0] and found.images == 23
    assert len(json.loads(parquet.read_schema(found.path).metadata[b"amiss"])["kinds"]) == 2


def test_the_verb(amiss, model, table, merged, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Options in, words out; its blocks are of 1,000."""
    monkeypatch.setattr(runs, "open_pool", lambda options, task: Here(task))
    code, out, err = amiss("score", model, table, "--output", tmp_path / "out")
    assert code == 3 and "23 images: 4 error, 19 good" in out and "the row has no path" in out and "blocks: 1" in err
    rows = parquet.read_table(tmp_path / "out" / "scores.parquet")
    assert rows.equals(parquet.read_table(merged))
    code, out, _ = amiss("score", model, table, "--output", tmp_path / "two", "--shard", "1/2", "--json")
    assert code == 0 and json.loads(out)["blocks"] == 0
    assert amiss("score", model, table, "--output", tmp_path / "two", "--shard", "0/2", "--json")[0] == 3
    code, out, _ = amiss("score", "--merge", tmp_path / "two", "--json")
    assert code == 3 and json.loads(out)["labels"] == {"error": 4, "good": 19}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--merge", "x", "--output", "y"), "--merge must be alone"),
        (("MODEL", "TABLE"), "must be given"),
        (("MODEL", "TABLE", "--output", "o", "--shard", "3/3"), "shard must be i/n"),
        (("MODEL", "TABLE", "--output", "o", "--on", "dask"), "on must be"),
        (("MODEL", "nothing.csv", "--output", "o"), "must be a folder or a table"),
        (("MODEL", "TABLE", "--output", "MODEL"), "must be a folder, got a file"),
    ],
)
def test_the_verb_refuses(amiss, model, table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words, error: str):
    monkeypatch.chdir(tmp_path)
    places = {"MODEL": model, "TABLE": table}
    code, _, err = amiss("score", *(places.get(word, word) for word in words))
    assert code in (1, 2) and error in err


@pytest.mark.parametrize("text", ["path\n", "name\na.png\n", 'path\n"a.png\n', "path,lot\na.png\n"])
def test_a_table_that_is_broken(tmp_path: Path, text: str):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(DataError):
        Manifest(path).look()
