"""A backend between the browser and the gateway, in Flask: passes a chat and the place in the queue on, as
server-sent events. A WSGI server notices that the browser has left when it writes: so every byte of the gateway,
heartbeats too, is passed on at once, and `finally` closes the socket to the gateway, which stops the work.
    pip install flask requests && flask --app flask_backend run --with-threads"""

import os

import requests
from flask import Flask, Response, request

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:11435")
app = Flask(__name__)


@app.post("/chat")
def chat():
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    # Asked for events, the gateway answers at once when the call must wait, and writes each second (status_interval).
    answer = requests.post(
        f"{GATEWAY}/api/chat", data=request.get_data(), headers=headers, stream=True, timeout=(5, 60)
    )

    def pieces():
        try:
            yield from answer.iter_content(chunk_size=None)  # as they come; a chunk size would wait for so many bytes
        finally:
            answer.close()  # the browser left, the answer ended, or it broke

    kind = answer.headers.get("Content-Type", "application/json")
    return Response(pieces(), answer.status_code, content_type=kind, headers={"X-Accel-Buffering": "no"})
