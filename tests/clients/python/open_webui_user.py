"""A person before Open WebUI, as its page speaks for them: open_webui_user.py URL MODEL [stop-after SECONDS], run by
Open WebUI's own Python. Prints, a JSON line each, what the page is told to show; after so many seconds the Stop button
is pressed."""

import asyncio
import json
import sys
import time
import uuid

import aiohttp
import socketio

URL, MODEL = sys.argv[1:3]
STOP = float(sys.argv[4]) if sys.argv[3:4] == ["stop-after"] else None


def say(kind, **what):
    print(json.dumps({"kind": kind, "at": time.monotonic(), **what}), flush=True)


async def main():
    async with aiohttp.ClientSession() as http:
        credentials = {"email": "", "password": ""}
        async with http.post(f"{URL}/api/v1/auths/signin", json=credentials) as answer:
            user = await answer.json()
        headers = {"Authorization": f"Bearer {user['token']}"}
        say("user", id=user["id"])
        ended = asyncio.Event()
        page = socketio.AsyncClient()

        @page.on("*")
        async def told(event, data, *_):
            data = data.get("data", {}) if isinstance(data, dict) else {}
            say(data.get("type", event), data=data.get("data"))
            if data.get("type") == "chat:completion" and (data.get("data") or {}).get("done"):
                ended.set()
            if data.get("type") in ("chat:message:error", "chat:tasks:cancel"):
                ended.set()

        await page.connect(URL, socketio_path="/ws/socket.io", transports=["websocket"], auth={"token": user["token"]})
        await page.emit("user-join", {"auth": {"token": user["token"]}})
        question, reply = str(uuid.uuid4()), str(uuid.uuid4())
        messages = {
            question: {"id": question, "parentId": None, "childrenIds": [reply], "role": "user", "content": "Hello"},
            reply: {"id": reply, "parentId": question, "childrenIds": [], "role": "assistant", "content": "", "model": MODEL},
        }
        chat = {"title": "t", "models": [MODEL], "history": {"messages": messages, "currentId": reply}, "messages": []}
        async with http.post(f"{URL}/api/v1/chats/new", json={"chat": chat}, headers=headers) as answer:
            chat_id = (await answer.json())["id"]
        body = {
            "model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Hello"}],
            "session_id": page.get_sid(), "chat_id": chat_id, "id": reply,
        }  # fmt: skip
        async with http.post(f"{URL}/api/chat/completions", json=body, headers=headers) as answer:
            begun = await answer.json()
            say("begun", status=answer.status, body=begun)
        if STOP is not None:
            await asyncio.sleep(STOP)
            for task in begun.get("task_ids") or [begun["task_id"]]:
                say("stopped")
                async with http.post(f"{URL}/api/tasks/stop/{task}", headers=headers) as answer:
                    await answer.read()
        try:
            await asyncio.wait_for(ended.wait(), 20)
        except TimeoutError:
            say("never ended")
        async with http.get(f"{URL}/api/v1/chats/{chat_id}", headers=headers) as answer:
            kept = (await answer.json())["chat"]["history"]["messages"][reply]
        say("message", content=kept.get("content"), error=kept.get("error"), statuses=kept.get("statusHistory"))
        await page.disconnect()


asyncio.run(main())
