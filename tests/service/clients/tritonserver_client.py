"""NVIDIA's client of the Open Inference Protocol: python tritonserver_client.py ADDRESS IMAGE"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as client

address, path = sys.argv[1:]
server = client.InferenceServerClient(address)
found = {"live": server.is_server_live(), "ready": server.is_server_ready(), "model": server.is_model_ready("toy")}
found["inputs"] = [one["name"] for one in server.get_model_metadata("toy")["inputs"]]
with Path(path).open("rb") as file:
    image = client.InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([file.read()], object))
everything = server.infer("toy", [image])
named = server.infer("toy", [image], outputs=[client.InferRequestedOutput("score", binary_data=False)])
found["label"] = everything.as_numpy("label")[0].decode()
found["accept"] = bool(everything.as_numpy("accept")[0])
found["scores"] = [float(one.as_numpy("score")[0]) for one in (everything, named)]
found["map"] = list(everything.as_numpy("map").shape)
pixels = np.full((2, 40, 50, 3), 127, np.uint8)
tensor = client.InferInput("pixels", pixels.shape, "UINT8")
tensor.set_data_from_numpy(pixels)
found["two"] = [float(value) for value in server.infer("toy", [tensor]).as_numpy("score")]
tensor.set_data_from_numpy(pixels, binary_data=False)
found["two as JSON"] = [float(value) for value in server.infer("toy", [tensor]).as_numpy("score")]
print(json.dumps(found))
