"""The client generated from the protocol's own OpenAPI document: python openapi_client.py ADDRESS IMAGE"""

import base64
import json
import sys
from pathlib import Path

from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.types import InferenceRequest

address, path = sys.argv[1:]
client = OpenInferenceClient(base_url=f"http://{address}")
client.check_server_liveness()  # raises when it is not
client.check_server_readiness()
found = {"live": True, "ready": True}
found["inputs"] = [one.name for one in client.read_model_metadata("toy").inputs]
with Path(path).open("rb") as file:
    data = base64.b64encode(file.read()).decode()
tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}, "data": [data]}
answer = client.model_infer("toy", request=InferenceRequest.parse_obj({"inputs": [tensor]}))
values = {one.name: getattr(one.data, "__root__", one.data) for one in answer.outputs}
found |= {"label": values["label"][0], "accept": bool(values["accept"][0]), "scores": [values["score"][0]]}
print(json.dumps(found))
