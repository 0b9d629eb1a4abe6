"""Keras `predict` behind Flask, as tutorials have it, with gunicorn before it: the same network, in float."""

import os
from typing import Any

import flask
import keras
import numpy as np

app = flask.Flask(__name__)
model = keras.models.load_model(os.environ["PEER_MODEL"], compile=False)


@app.get("/ready")
def ready() -> Any:
    """200 when the model is loaded."""
    return "ready"


@app.post("/predict")
def predict() -> Any:
    """A V2 request in JSON, or the picture's bytes."""
    if flask.request.mimetype == "application/json":
        given = flask.request.get_json()["inputs"][0]
        answer = model.predict(np.asarray(given["data"], np.uint8).reshape(given["shape"]), verbose=0)
        output = {"name": "output", "datatype": "FP32", "shape": list(answer.shape), "data": answer.ravel().tolist()}
        return flask.jsonify({"model_name": "emotion", "outputs": [output]})
    picture = np.frombuffer(flask.request.get_data(), np.uint8).reshape(1, 48, 48, 1)
    return flask.Response(model.predict(picture, verbose=0).tobytes(), mimetype="application/octet-stream")
