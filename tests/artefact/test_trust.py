"""A model that was not signed with a trusted key, or not accepted with a site's own images, is refused."""

import json
import shutil
import stat
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from tests.fuzz.resealing import resealed

import amiss
from amiss.acceptance import FILE, accept
from amiss.artefact import CALIBRATION, GOLDEN, read_artefact
from amiss.cli.main import main
from amiss.core.errors import InputError, ParityError, TamperedArtefactError, UntrustedArtefactError
from amiss.core.images import Images
from amiss.signature import new_key, sign_artefact, signature_path, verify_artefact
from amiss.testing import toy_texture, write_images

pytest.importorskip("cryptography", reason="brought by amiss[sign]")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {name: new_key(folder / name) for name in ("ours", "theirs")}


@pytest.fixture
def saved(inspector, tmp_path):
    inspector.save(tmp_path / "part.amiss")
    return tmp_path / "part.amiss"


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    write_images(folder, Images([*toy_texture(2, seed=5).images, *toy_texture(2, seed=6, defective=True).images]))
    return folder


def replace(path, **parts):
    """As somebody who knows the format would: other content, all hashes fixed."""
    old = read_artefact(path)
    record = old.record.model_dump(mode="json", exclude_none=True)
    path.write_bytes(resealed(json.loads(json.dumps(record)), {**old.parts, **parts}))


def milder(path):
    """A model that calls more parts good, and knows it: nothing inside contradicts it."""
    scores = load_arrays(read_artefact(path).parts[CALIBRATION])
    scores["scores"] = np.sort(scores["scores"] * 100)
    replace(path, **{CALIBRATION: save_arrays(scores)})


def test_a_signed_model_is_loaded_and_any_other_refused(saved, keys, tmp_path):
    (private, public), (foreign, _) = keys["ours"], keys["theirs"]
    with pytest.raises(UntrustedArtefactError, match=r"must be signed, got no part\.amiss\.sig"):
        amiss.load(saved, trusted_key=public)
    sign_artefact(saved, foreign)
    with pytest.raises(UntrustedArtefactError, match="must be signed with a key of"):
        amiss.load(saved, trusted_key=public)
    assert sign_artefact(saved, private) == signature_path(saved)
    assert amiss.load(saved, trusted_key=public).fingerprint == verify_artefact(saved, public)


def test_a_model_that_was_replaced_after_signing_is_refused(saved, keys):
    private, public = keys["ours"]
    sign_artefact(saved, private)
    milder(saved)
    assert amiss.load(saved)  # its hashes fit: they find damage, not authors
    for check in (verify_artefact, lambda path, key: amiss.load(path, trusted_key=key)):
        with pytest.raises(UntrustedArtefactError, match="not of this model"):
            check(saved, public)


def test_a_signature_holds_for_both_forms_and_moves_with_the_model(saved, inspector, keys, tmp_path):
    private, public = keys["ours"]
    sign_artefact(saved, private)
    inspector.save(tmp_path / "folder")
    shutil.copy(signature_path(saved), signature_path(tmp_path / "folder"))
    (tmp_path / "there").mkdir()
    for name in ("part.amiss", "part.amiss.sig"):
        shutil.copy(tmp_path / name, tmp_path / "there" / name)
    assert verify_artefact(tmp_path / "folder", public) == verify_artefact(tmp_path / "there" / "part.amiss", public)


def test_a_damaged_model_is_damaged_before_it_is_untrusted(saved, keys):
    private, public = keys["ours"]
    sign_artefact(saved, private)
    data = saved.read_bytes()
    saved.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    with pytest.raises(TamperedArtefactError):
        verify_artefact(saved, public)


def test_several_keys_may_be_trusted_at_once(saved, keys, tmp_path, monkeypatch):
    both = tmp_path / "both.pub"
    both.write_bytes(keys["theirs"][1].read_bytes() + keys["ours"][1].read_bytes())
    sign_artefact(saved, keys["ours"][0])
    verify_artefact(saved, both)
    monkeypatch.setenv("AMISS_TRUSTED_KEY", str(keys["theirs"][1]))
    with pytest.raises(UntrustedArtefactError):
        amiss.load(saved)
    monkeypatch.setenv("AMISS_TRUSTED_KEY", str(both))
    assert amiss.load(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"[]", b"{}", b"\xff", b"x" * 2_000_000])
def test_a_signature_of_anything_is_no_signature(content, saved, keys):
    signature_path(saved).write_bytes(content)
    with pytest.raises(UntrustedArtefactError):
        verify_artefact(saved, keys["ours"][1])


@pytest.mark.parametrize("field", ["public_key", "signature", "fingerprint", "amiss_signature"])
def test_every_field_of_a_signature_counts_that_is_read(field, saved, keys):
    private, public = keys["ours"]
    sign_artefact(saved, private)
    content = json.loads(signature_path(saved).read_bytes())
    for value in (7, "zz", content["signature"][::-1], None):
        signature_path(saved).write_text(json.dumps({**content, field: value}))
        if field == "fingerprint":  # for people: what was signed is computed
            assert verify_artefact(saved, public)
        else:
            with pytest.raises(UntrustedArtefactError):
                verify_artefact(saved, public)


def test_keys_of_other_kinds_and_files_are_refused(saved, keys, tmp_path):
    private, public = keys["ours"]
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    with pytest.raises(InputError, match="a new key must have a new name"):
        new_key(private)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    other = generate_private_key(SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "ec").write_bytes(other.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (tmp_path / "ec.pub").write_bytes(
        other.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "words").write_text("words")
    for wrong in (public, tmp_path / "ec", tmp_path / "words", tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match="must be an Ed25519 private key"):
            sign_artefact(saved, wrong)
    sign_artefact(saved, private)
    for wrong in (private, tmp_path / "ec.pub", tmp_path / "words", tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match="must hold Ed25519 public keys"):
            verify_artefact(saved, wrong)


def test_keys_of_openssl_are_the_same(saved, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    private, public = tmp_path / "o.key", tmp_path / "o.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    sign_artefact(saved, private)
    assert verify_artefact(saved, public)


def test_a_key_may_have_a_password(saved, keys, tmp_path, monkeypatch, amiss):
    secret, wrong, empty = (tmp_path / name for name in ("secret", "wrong", "empty"))
    secret.write_bytes("Tür und Tor\r\nand more\n".encode())
    wrong.write_text("door")
    empty.write_text("\n")
    key = tmp_path / "locked.key"
    assert amiss("sign", saved, "--new-key", key, "--key-password-file", secret)[0] == 0
    assert b"ENCRYPTED" in key.read_bytes()
    assert verify_artefact(saved, f"{key}.pub")
    signature_path(saved).unlink()
    for words, said in (
        ([], "has a password, which must be in a file (--key-password-file) or in AMISS_KEY_PASSWORD, got none"),
        (["--key-password-file", wrong], "got another"),
        (["--key-password-file", empty], "the first line must be the password"),
        (["--key-password-file", tmp_path / "gone"], "the file of a password cannot be read"),
    ):
        code, _, err = amiss("sign", saved, "--key", key, *words)
        assert code == 2 and said in err and not signature_path(saved).exists()
    monkeypatch.setenv("AMISS_KEY_PASSWORD", "Tür und Tor")
    assert amiss("sign", saved, "--key", key)[0] == 0
    assert amiss("sign", saved, "--key", keys["ours"][0])[0] == 0  # a key without one needs none


def test_an_accepted_model_is_loaded_and_any_other_refused(saved, own):
    verdicts = accept(amiss.load(saved), own)
    assert [str(verdict.label) for verdict in verdicts] == ["good", "good", "anomalous", "anomalous"]
    assert amiss.load(saved, accepted=own)
    milder(saved)
    assert amiss.load(saved)
    with pytest.raises(UntrustedArtefactError, match="was not accepted with the images"):
        amiss.load(saved, accepted=own)
    accept(amiss.load(saved), own)
    assert amiss.load(saved, accepted=own) and len(json.loads((own / FILE).read_bytes())["models"]) == 2


def test_other_images_verdicts_or_scores_are_refused(saved, own, monkeypatch):
    accept(amiss.load(saved), own)
    content = json.loads((own / FILE).read_bytes())
    (rows,) = content["models"].values()
    for changed, error in (
        ({"label": "good" if rows[0]["label"] == "anomalous" else "anomalous"}, ParityError),
        ({"score": rows[0]["score"] + 1}, ParityError),
        ({"sha256": "0" * 64}, UntrustedArtefactError),
        ({"name": "other.png"}, UntrustedArtefactError),
        ({"score": 10**400}, InputError),
    ):
        other = {
            "amiss_accepted": 1,
            "models": {name: [{**rows[0], **changed}, *rows[1:]] for name in content["models"]},
        }
        (own / FILE).write_text(json.dumps(other))
        with pytest.raises(error):
            amiss.load(saved, accepted=own)
    (own / FILE).write_text(json.dumps(content))
    monkeypatch.setenv("AMISS_ACCEPTED", str(own))
    assert amiss.load(saved)
    shutil.copy(sorted(own.glob("*.png"))[0], own / "more.png")
    with pytest.raises(UntrustedArtefactError, match="must be those of the acceptance"):
        amiss.load(saved)


def test_a_folder_that_accepts_nothing(saved, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError):
        accept(amiss.load(saved), tmp_path / "none")
    for content in (b"{", b"[]", b'{"amiss_accepted": 1, "models": {"a": []}}', b"[" * 100_000):
        (tmp_path / "none" / FILE).write_bytes(content)
        with pytest.raises(InputError, match="accept"):
            amiss.load(saved, accepted=tmp_path / "none")
    (tmp_path / "none" / "bad.png").write_bytes(b"words")
    with pytest.raises(InputError, match="every image must be inspected"):
        accept(amiss.load(saved), tmp_path / "none")


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["amiss", *map(str, words)])
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr()


def test_the_verbs(saved, own, tmp_path, monkeypatch, capsys):
    key = tmp_path / "line.key"
    code, said = run(monkeypatch, capsys, "sign", saved, "--new-key", key)
    assert code == 0 and "keep it secret" in said.out and "part.amiss.sig" in said.out
    code, said = run(monkeypatch, capsys, "verify", saved, "--key", f"{key}.pub")
    assert code == 0 and "is what was signed" in said.out
    code, said = run(monkeypatch, capsys, "accept", saved, own, "--trusted-key", f"{key}.pub")
    assert code == 0 and "2 anomalous, 2 good" in said.out
    trusted = ("--trusted-key", f"{key}.pub", "--accepted", own)
    assert run(monkeypatch, capsys, "inspect", saved, own, *trusted)[0] == 0
    milder(saved)
    for words in (("verify", saved, "--key", f"{key}.pub"), ("inspect", saved, own, *trusted[:2])):
        code, said = run(monkeypatch, capsys, *words)
        assert code == 2 and "not of this model" in said.err and said.out == ""
    code, said = run(monkeypatch, capsys, "inspect", saved, own, *trusted[2:])
    assert code == 2 and "was not accepted" in said.err
    for words in (("sign", saved), ("sign", "--key", key), ("sign", saved, "--key", key, "--new-key", key)):
        assert run(monkeypatch, capsys, *words)[0] == 2


def test_every_verb_that_loads_a_model_can_be_told_whom_to_trust():
    import typer

    from amiss.cli.main import app

    for name, verb in typer.main.get_command(app).commands.items():
        options = {each.name for each in verb.params}
        if "backend" in options and name != "accept":
            assert {"trusted_key", "accepted"} <= options, name


def test_goldens_inside_do_not_tell_who_made_them(saved):
    """What the site's own check is for: somebody replaces the golden scores together with the graph."""
    arrays = load_arrays(read_artefact(saved).parts[GOLDEN])
    scorer = amiss.load(saved).scorer
    arrays["pixels"] = np.ascontiguousarray(arrays["pixels"][:, ::-1])
    arrays["map"] = scorer.run(arrays["pixels"]).map
    replace(saved, **{GOLDEN: save_arrays(arrays)})
    assert amiss.load(saved)
