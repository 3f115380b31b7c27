"""A backend between the browser and the gateway, in FastAPI: passes a chat and the place in the queue on, as
server-sent events. When the browser leaves, the socket to the gateway is closed, and so the work stops.
    pip install fastapi uvicorn httpx && uvicorn fastapi_backend:app"""

import json
import os

import anyio
import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

# The gateway is never silent for longer than queue.commit_whole (15 s) and then queue.heartbeat (10 s).
gateway = httpx.AsyncClient(
    base_url=os.environ.get("GATEWAY", "http://127.0.0.1:11435"),
    timeout=httpx.Timeout(60, pool=None),
    limits=httpx.Limits(max_connections=None),
)
app = FastAPI()


@app.post("/chat")
async def chat(request: Request):
    body = await request.body()

    async def pass_on(into):
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        async with into, gateway.stream("POST", "/api/chat", content=body, headers=headers) as answer:
            if answer.status_code != 200:  # queue full, unknown model, …: the head to the browser is out already
                error = (await answer.aread()).decode()
                await into.send(f"event: error\ndata: {json.dumps(error)}\n\n".encode())
            else:
                async for piece in answer.aiter_raw():
                    await into.send(piece)

    async def until_gone(scope):
        while (await request.receive())["type"] != "http.disconnect":
            pass
        scope.cancel()  # leaves gateway.stream(), which closes the socket: in whatever phase, also a silent one

    async def pieces():
        into, out = anyio.create_memory_object_stream(16)
        async with anyio.create_task_group() as both:
            both.start_soon(pass_on, into)
            both.start_soon(until_gone, both.cancel_scope)
            async for piece in out:
                yield piece
            both.cancel_scope.cancel()

    return StreamingResponse(pieces(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
