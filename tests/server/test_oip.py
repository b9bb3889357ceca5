"""The Open Inference Protocol v2: three ways to send an image, two ways to get an answer, the same verdict."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import cv2
import numpy as np
import pytest

from amiss.server.tensors import Output, images_of, split_body
from amiss.testing import toy_part
from tests.server.running import Running, png

MODEL = "/v2/models/toy"


def infer(server: Running, body: Any, length: int | None = None) -> Any:
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    return server.post(f"{MODEL}/infer", body, **headers)


def as_base64(*files: bytes, **more: Any) -> dict[str, Any]:
    data = [base64.b64encode(one).decode() for one in files]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(files)], "data": data}
    return {"inputs": [{**tensor, "parameters": {"content_type": "base64"}}], **more}


def outputs(reply: Any) -> dict[str, Any]:
    """Values by name, whichever way they came."""
    assert reply.status == 200, reply.body
    length = reply.headers.get("inference-header-content-length")
    head, tail = split_body(reply.body, length)
    found = {}
    for one in head["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[one["name"]] = one["data"]
            continue
        data, tail = tail[:size], tail[size:]
        if one["datatype"] == "BYTES":
            texts = []
            while data:
                (count,) = struct.unpack("<I", data[:4])
                texts.append(data[4 : 4 + count].decode())
                data = data[4 + count :]
            found[one["name"]] = texts
        else:
            kind = {"BOOL": "?", "FP32": "<f4", "FP64": "<f8"}[one["datatype"]]
            found[one["name"]] = np.frombuffer(data, kind).tolist()
    assert not tail
    return found


def test_three_ways_to_send_an_image_give_the_same_verdict(server: Running) -> None:
    pixels = toy_part(1, seed=400, defective=True).images[0]
    file = cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()
    native = server.post("/api/v1/parts?recipe=toy", file).json
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, *pixels.shape]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": pixels.size}}]}).encode()
    packed = struct.pack("<I", len(file)) + file
    raw = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(packed)}}
    raw_head = json.dumps({"inputs": [raw], "parameters": {"binary_data_output": True}}).encode()
    replies = [
        infer(server, as_base64(file)),
        infer(server, {"inputs": [{**tensor, "data": pixels.ravel().tolist()}]}),
        infer(server, {"inputs": [{**tensor, "data": pixels[None].tolist()}]}),
        infer(server, head + pixels.tobytes(), len(head)),
        infer(server, raw_head + packed, len(raw_head)),
    ]
    found = [outputs(reply) for reply in replies]
    for one in found:
        assert one["label"] == [native["label"]] and one["accept"] == [native["accept"]]
        assert one["score"] == [np.float32(native["score"])] and one["p_value"] == [native["p_value"]]
        assert one["map"] == found[0]["map"] and max(one["map"]) == one["score"][0]
    assert "binary_data_size" in replies[-1].body[:2000].decode("latin-1")


def test_outputs_that_are_named_are_sent_and_parts_are_in_the_record(server: Running) -> None:
    asked = as_base64(
        png(410), png(411), outputs=[{"name": "accept"}], parameters={"serial": "OIP", "lot": "L9"}, id="7"
    )
    reply = infer(server, asked)
    assert reply.json["id"] == "7" and [one["name"] for one in reply.json["outputs"]] == ["accept"]
    parts = reply.json["parameters"]["parts"].split(",")
    assert [server.get(f"/api/v1/parts/{part}").json["lot"] for part in parts] == ["L9", "L9"]


def test_a_key_gets_the_stored_verdict(server: Running) -> None:
    asked = as_base64(png(412), parameters={"key": "once"}, outputs=[{"name": "score"}])
    first, again = infer(server, asked).json, infer(server, asked).json
    assert first == again
    other = infer(server, as_base64(png(413), parameters={"key": "once"}))
    assert other.status == 409 and other.json["accept"] is False


def test_a_stored_verdict_says_which_version_judged(server: Running) -> None:
    asked = as_base64(png(414), parameters={"key": "of the first"}, outputs=[{"name": "score"}])
    first = infer(server, asked).json
    new = server.post("/api/v1/recipes/toy/recalibrations", {"rule": "conformal", "alpha": "10%"}).json["version"]
    assert server.post("/api/v1/recipes/toy/deployments", {"version": new, "reason": "a test"}).status == 200
    try:
        assert infer(server, asked).json == first and first["model_version"] == str(new - 1)
        assert infer(server, as_base64(png(415))).json["model_version"] == str(new)
    finally:
        assert server.post("/api/v1/recipes/toy/rollback", {"reason": "a test"}).status == 200


def test_one_bad_image_fails_all(server: Running) -> None:
    reply = infer(server, as_base64(png(414), b"not an image"))
    assert reply.status == 422 and reply.json["accept"] is False and "not a PNG" in reply.json["error"]


def test_the_record_says_of_a_failed_request_what_its_client_was_told(server: Running) -> None:
    assert infer(server, as_base64(png(415), b"junk", parameters={"lot": "L False"})).status == 422
    for _ in range(2):
        asked = as_base64(png(415), png(416), parameters={"lot": "L True", "key": "all"})
        assert infer(server, asked).status == 200
    assert infer(server, as_base64(png(415), png(417), parameters={"key": "all"})).status == 409  # 415 was told before
    parts = {told: server.get(f"/api/v1/parts?lot=L%20{told}").json["parts"] for told in (True, False)}
    assert [part["accept"] for part in parts[True]] == [True, True]
    assert {(part["label"], part["accept"]) for part in parts[False]} == {("error", False), ("good", False)}


def test_as_many_images_as_may_come_have_room(server: Running) -> None:
    reply = infer(server, as_base64(*[png(415)] * 16, outputs=[{"name": "label"}]))
    assert reply.status == 200 and reply.json["outputs"][0]["data"] == ["good"] * 16


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"[]", "object"),
        ({"inputs": []}, "one tensor"),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [17], "data": []}]}, "at most 16"),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}]}, "base64"),
        ({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": [1, 2]}]}, "must be 12"),
        ({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2, 1], "data": [1] * 4}]}, "width, 3"),
        ({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 999]}]}, "0 to 255"),
        ({"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}]}, "UINT8"),
        ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [True], "data": []}]}, "whole numbers"),
        (as_base64(b"x", outputs=[{"name": "secret"}]), "outputs must be of"),
        (as_base64(b"x", parameters={"serial": 7}), "serial must be"),
    ],
)
def test_what_cannot_be_is_refused_in_words(server: Running, body: Any, words: str) -> None:
    reply = infer(server, body)
    assert reply.status == 422 and words in reply.json["error"] and reply.json["accept"] is False, reply.body


def test_lengths_that_lie_are_refused(server: Running) -> None:
    assert infer(server, b"{}", 10_000).status == 422
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor]}).encode()
    assert infer(server, head + b"\xff\xff\xff\x7fabcd", len(head)).status == 422


def test_readiness_and_metadata(server: Running) -> None:
    assert server.get("/v2/health/ready").json == {"ready": True, "live": True}
    assert server.get(f"{MODEL}/ready").json["ready"] is True
    assert server.get("/v2").json["extensions"] == ["binary_tensor_data"]
    found = server.get(MODEL).json
    assert [one["name"] for one in found["inputs"]] == ["image", "pixels"] and "1" in found["versions"]
    assert server.get("/v2/models/other").status == 404
    assert server.get(f"{MODEL}/versions/99/ready").status == 404


def test_values_as_bytes_are_those_as_json() -> None:
    assert Output("a", "BOOL", [2], [True, False]).as_bytes() == b"\x01\x00"
    assert Output("a", "FP64", [1], [0.5]).as_bytes() == np.float64(0.5).tobytes()
    assert Output("a", "FP32", [1], np.float32([1.5]).tobytes()).as_json()["data"] == [1.5]
    assert Output("a", "BYTES", [1], ["é"]).as_bytes() == b"\x02\x00\x00\x00\xc3\xa9"
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 2, 3], "parameters": {"binary_data_size": 6}}
    assert images_of({"inputs": [tensor]}, b"abcdef") == [b"P6 2 1 255\nabcdef"]
