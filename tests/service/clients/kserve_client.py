"""The client of KServe: python kserve_client.py ADDRESS IMAGE"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

address, path = sys.argv[1:]


async def main() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2", verify=False))
    base = f"http://{address}"
    found = {"live": await client.is_server_live(base), "ready": await client.is_server_ready(base)}
    found["model"] = await client.is_model_ready(base, "toy")
    with Path(path).open("rb") as file:
        data = base64.b64encode(file.read()).decode()
    image = InferInput("image", [1], "BYTES", data=[data], parameters={"content_type": "base64"})
    answer = await client.infer(base, InferRequest(model_name="toy", infer_inputs=[image]), model_name="toy")
    values = {one.name: one.data for one in answer.outputs}
    found |= {"label": values["label"][0], "accept": bool(values["accept"][0]), "scores": [float(values["score"][0])]}
    tensor = InferInput("pixels", [1, 40, 50, 3], "UINT8")
    tensor.set_data_from_numpy(np.full((1, 40, 50, 3), 127, np.uint8), binary_data=True)
    answer = await client.infer(base, InferRequest(model_name="toy", infer_inputs=[tensor]), model_name="toy")
    found["two"] = [float(np.ravel(one.as_numpy())[0]) for one in answer.outputs if one.name == "score"]
    await client.close()
    print(json.dumps(found))


asyncio.run(main())
