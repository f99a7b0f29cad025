"""The shop's orders as webhook tools, with aiohttp and the official Standard Webhooks library."""

import os

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

ORDERS = {17: "packed", 18: "sent"}
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


TOOLS = {"find_order": find_order, "cancel_order": cancel_order}


async def tools(request):
    body = await request.read()
    try:
        call = webhook.verify(body, dict(request.headers))["data"]
    except WebhookVerificationError as error:
        raise web.HTTPUnauthorized(text=str(error)) from error
    return web.json_response(TOOLS[call["tool"]](call["arguments"]))


app = web.Application()
app.add_routes([web.post("/tools", tools)])

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8090")))
