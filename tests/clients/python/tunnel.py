"""A stand-in for a Cloudflare tunnel: tunnel.py PORT GATEWAY SILENCE. It does what cloudflared and the edge do:
connections to the origin are kept for 90 s, closed at once when the edge cancels; an origin that is silent for SILENCE
seconds is given up (524); an answer that breaks off breaks off; the headers are theirs."""

import sys

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

PORT, GATEWAY, SILENCE = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "content-length"}
HOSTNAME = "ollama.lab.org"


async def sessions(app):
    connector = TCPConnector(limit=100, keepalive_timeout=90)
    timeout = ClientTimeout(total=None, sock_connect=30, sock_read=SILENCE)
    async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as app["origin"]:
        yield


async def through(request):
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    headers |= {
        "Host": HOSTNAME, "Connection": "keep-alive", "Accept-Encoding": headers.get("Accept-Encoding", "gzip"),
        "Cf-Connecting-Ip": "192.0.2.7", "Cf-Ray": "8f0000000000abcd-FRA", "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https", "Cdn-Loop": "cloudflare", "Cf-Visitor": '{"scheme":"https"}',
        "Cf-Warp-Tag-Id": "3f0c2a54-7b1e-4a55-9d0f-2f6f5a1c7b11",
    }  # fmt: skip
    body = await request.read()
    answer = None
    try:
        call = request.app["origin"].request(request.method, GATEWAY + request.path_qs, data=body, headers=headers)
        async with call as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            passed = web.StreamResponse(status=answer.status, headers=kept)
            await passed.prepare(request)
            async for piece in answer.content.iter_any():
                await passed.write(piece)
            await passed.write_eof()
            return passed
    except (ClientError, TimeoutError):
        if answer is None:
            return web.Response(status=524, text="error code: 524")
        request.transport.abort()  # a reset stream, never a clean end
        raise


app = web.Application(client_max_size=1 << 26)
app.cleanup_ctx.append(sessions)
app.router.add_route("*", "/{path:.*}", through)
web.run_app(app, host="127.0.0.1", port=PORT, handler_cancellation=True, print=None)
