"""The clinic's books as webhook tools, what it is told of its calls, and what it says before one, with aiohttp and the
official Standard Webhooks library."""

import json
import logging
import os

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

PATIENTS = {"+442079461584": "Peter"}
BILLS = {42: "is paid", 43: "is open"}
appointments = {}  # by the idempotency-key of the call that made them
seen = set()
log = logging.getLogger("clinic")
webhook = Webhook(os.environ["CLINIC_WHSEC"])


def book_appointment(arguments, key):
    if key not in appointments:  # the same call may come again after a fault: it books once
        appointments[key] = arguments
    booked = f"{arguments['name']}, {arguments['day']}"
    actions = [{"type": "set_variables", "variables": {"booked": booked}}]
    return {"text": f"Booked: {booked}.", "agentd": {"actions": actions}}


def find_bill(arguments, key):
    number = arguments["bill"]
    return {"text": f"Bill {number} {BILLS[number]}." if number in BILLS else f"There is no bill {number}."}


TOOLS = {"book_appointment": book_appointment, "find_bill": find_bill}


async def verified(request):
    try:
        return webhook.verify(await request.read(), dict(request.headers))
    except WebhookVerificationError as error:
        raise web.HTTPUnauthorized(text=str(error)) from error


async def tools(request):
    call = (await verified(request))["data"]
    return web.json_response(TOOLS[call["tool"]](call["arguments"], request.headers["idempotency-key"]))


async def events(request):
    event = await verified(request)
    if request.headers["webhook-id"] not in seen:  # an event may come twice, and in any order
        seen.add(request.headers["webhook-id"])
        if event["type"] in ("session.ended", "session.failed"):
            log.info("a call of %s s: %s", event["data"]["duration"], event["data"]["reason"])
    return web.Response(status=204)


async def calls(request):
    """Asked before each call, with the dispatch's metadata: answer within two seconds."""
    asked = (await verified(request))["data"]
    number = json.loads(asked["job"]["metadata"] or "{}").get("from", "")
    return web.json_response({"variables": {"patient": PATIENTS.get(number, "")}})


app = web.Application()
app.add_routes([web.post("/tools", tools), web.post("/events", events), web.post("/calls", calls)])

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8091")))
