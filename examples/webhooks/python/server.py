"""The shop's orders as webhook tools, what it is told of its calls, and what it says before one, with aiohttp and the
official Standard Webhooks library."""

import asyncio
import json
import logging
import os

from aiohttp import ClientSession, web
from standardwebhooks import Webhook, WebhookVerificationError

ORDERS = {17: "packed", 18: "sent"}
CUSTOMERS = {"+15550100": "Zoë"}
BLOCKED = {"+15550199"}
seen = {}
log = logging.getLogger("shop")
webhook = Webhook(os.environ["SHOP_WHSEC"])


def find_order(arguments):
    number = arguments["order"]
    if number not in ORDERS:
        return {"text": f"There is no order {number}."}
    where = {"packed": "is packed and leaves tomorrow", "sent": "is on its way to you", "cancelled": "is cancelled"}
    return {
        "text": f"Your order {number} {where[ORDERS[number]]}.",
        "agentd": {"actions": [{"type": "set_variables", "variables": {"order_state": ORDERS[number]}}]},
    }


def cancel_order(arguments):
    number = arguments["order"]
    if ORDERS.get(number) != "packed":
        raise web.HTTPUnprocessableEntity(
            text='{"detail": "This order cannot be cancelled any more."}', content_type="application/problem+json"
        )
    ORDERS[number] = "cancelled"  # asked twice with one idempotency-key it would still be cancelled once
    return {"text": f"Order {number} is cancelled."}


def refund_order(arguments, callback):
    """The bank takes its time: the result is brought later, where the daemon offers that (http.public_url)."""
    if callback is None:
        return {"text": "A refund takes a day. You will get an e-mail."}
    task = asyncio.get_running_loop().create_task(ask_the_bank(arguments["order"], callback))
    UNDER_WAY.add(task)
    task.add_done_callback(UNDER_WAY.discard)
    return {"agentd": {"pending": {"say": "I am asking our bank, and will tell you.", "timeout": "5m"}}}


async def ask_the_bank(number, callback):
    await asyncio.sleep(float(os.environ.get("BANK_S", "10")))
    result = {"text": f"The refund of order {number} is on its way."}
    headers = {"Authorization": f"Bearer {callback['token']}"}
    async with ClientSession() as client:
        for _ in range(10):  # 503: the conversation is moving to another process
            async with client.post(callback["url"], json=result, headers=headers) as answer:
                if answer.status != 503:
                    return
            await asyncio.sleep(1)


UNDER_WAY = set()
TOOLS = {"find_order": find_order, "cancel_order": cancel_order}


async def verified(request):
    try:
        return webhook.verify(await request.read(), dict(request.headers))
    except WebhookVerificationError as error:
        raise web.HTTPUnauthorized(text=str(error)) from error


async def tools(request):
    call = (await verified(request))["data"]
    if call["tool"] == "refund_order":
        answer = refund_order(call["arguments"], call.get("callback"))
        return web.json_response(answer, status=202 if "agentd" in answer else 200)
    return web.json_response(TOOLS[call["tool"]](call["arguments"]))


async def events(request):
    event = await verified(request)
    if request.headers["webhook-id"] not in seen:  # an event may come twice, and in any order
        seen[request.headers["webhook-id"]] = None
        if event["type"] in ("session.ended", "session.failed"):
            log.info("a call of %s s: %s", event["data"]["duration"], event["data"]["reason"])
        if len(seen) > 10_000:
            del seen[next(iter(seen))]
    return web.Response(status=204)


async def calls(request):
    """Asked before each call, with the dispatch's metadata: answer within two seconds."""
    asked = (await verified(request))["data"]
    number = json.loads(asked["job"]["metadata"] or "{}").get("from", "")
    if number in BLOCKED:
        return web.json_response({"accept": False})
    return web.json_response({"variables": {"customer": CUSTOMERS.get(number, "")}})


app = web.Application()
app.add_routes([web.post("/tools", tools), web.post("/events", events), web.post("/calls", calls)])

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8090")))
