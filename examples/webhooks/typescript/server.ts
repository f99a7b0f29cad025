// The shop's orders as webhook tools, what it is told of its calls, and what it says before one, with Node's own HTTP
// server and the official Standard Webhooks library.
import { createServer, type IncomingMessage } from "node:http";
import { Webhook } from "standardwebhooks";

type Arguments = { order: number };
type Callback = { url: string; token: string };
type Call = { tool: string; arguments: Arguments; callback?: Callback };
type Event = { type: string; data: { reason?: string; duration?: number } };
type Request = { data: { job: { metadata: string } } };
type Answer = { status: number; body: object };

const orders = new Map<number, string>([[17, "packed"], [18, "sent"]]);
const webhook = new Webhook(process.env.SHOP_WHSEC ?? "");
const where: Record<string, string> = {
  packed: "is packed and leaves tomorrow",
  sent: "is on its way to you",
  cancelled: "is cancelled",
};

function findOrder({ order }: Arguments): Answer {
  const state = orders.get(order);
  if (state === undefined) return { status: 200, body: { text: `There is no order ${order}.` } };
  const actions = [{ type: "set_variables", variables: { order_state: state } }];
  return { status: 200, body: { text: `Your order ${order} ${where[state]}.`, agentd: { actions } } };
}

function cancelOrder({ order }: Arguments): Answer {
  if (orders.get(order) !== "packed") {
    return { status: 422, body: { detail: "This order cannot be cancelled any more." } };
  }
  orders.set(order, "cancelled"); // asked twice with one idempotency-key it would still be cancelled once
  return { status: 200, body: { text: `Order ${order} is cancelled.` } };
}

// The bank takes its time: the result is brought later, where the daemon offers that (http.public_url).
function refundOrder({ order }: Arguments, callback?: Callback): Answer {
  if (callback === undefined) return { status: 200, body: { text: "A refund takes a day. You will get an e-mail." } };
  void askTheBank(order, callback).catch(console.error);
  const pending = { say: "I am asking our bank, and will tell you.", timeout: "5m" };
  return { status: 202, body: { agentd: { pending } } };
}

const pause = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1000));

async function askTheBank(order: number, { url, token }: Callback): Promise<void> {
  await pause(Number(process.env.BANK_S ?? 10));
  const body = JSON.stringify({ text: `The refund of order ${order} is on its way.` });
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  for (let attempt = 0; attempt < 10; attempt++) { // 503: the conversation is moving to another process
    if ((await fetch(url, { method: "POST", headers, body })).status !== 503) return;
    await pause(1);
  }
}

const tools: Record<string, (args: Arguments, callback?: Callback) => Answer> = {
  find_order: findOrder,
  cancel_order: cancelOrder,
  refund_order: refundOrder,
};

const customers: Record<string, string> = { "+15550100": "Zoë" };
const blocked = new Set(["+15550199"]);
const seen = new Set<string>();

function told(id: string, event: Event): Answer {
  if (!seen.has(id)) { // an event may come twice, and in any order
    seen.add(id);
    if (seen.size > 10_000) seen.delete(seen.values().next().value as string);
    if (event.type === "session.ended" || event.type === "session.failed") {
      console.log(`a call of ${event.data.duration} s: ${event.data.reason}`);
    }
  }
  return { status: 200, body: {} };
}

// Asked before each call, with the dispatch's metadata: answer within two seconds.
function asked({ data }: Request): Answer {
  const number: string = JSON.parse(data.job.metadata || "{}").from ?? "";
  if (blocked.has(number)) return { status: 200, body: { accept: false } };
  return { status: 200, body: { variables: { customer: customers[number] ?? "" } } };
}

function answerTo(path: string, id: string, message: unknown): Answer {
  if (path === "/events") return told(id, message as Event);
  if (path === "/calls") return asked(message as Request);
  const { data } = message as { data: Call };
  return tools[data.tool](data.arguments, data.callback);
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

createServer(async (request, response) => {
  const body = await bytesOf(request);
  try {
    const headers = request.headers as Record<string, string>;
    const answer = answerTo(request.url ?? "", headers["webhook-id"], webhook.verify(body, headers));
    const type = answer.status < 300 ? "application/json" : "application/problem+json";
    response.writeHead(answer.status, { "content-type": type }).end(JSON.stringify(answer.body));
  } catch (error) {
    response.writeHead(401).end(String(error));
  }
}).listen(Number(process.env.PORT ?? 8090), "127.0.0.1");
