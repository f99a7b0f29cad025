// The clinic's books as webhook tools, what it is told of its calls, and what it says before one, with Node's own HTTP
// server and the official Standard Webhooks library.
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { Webhook } from "standardwebhooks";

type Booking = { name: string; phone: string; day: string };
type Call = { tool: "book_appointment"; arguments: Booking } | { tool: "find_bill"; arguments: { bill: number } };
type Event = { type: string; data: { reason?: string; duration?: number } };
type Request = { job: { metadata: string } };

const patients: Record<string, string> = { "+442079461584": "Peter" };
const bills = new Map<number, string>([[42, "is paid"], [43, "is open"]]);
const appointments = new Map<string, Booking>(); // by the idempotency-key of the call that made them
const seen = new Set<string>();
const webhook = new Webhook(process.env.CLINIC_WHSEC ?? "");

function bookAppointment(booking: Booking, key: string): object {
  if (!appointments.has(key)) appointments.set(key, booking); // the same call may come again after a fault: it books once
  const booked = `${booking.name}, ${booking.day}`;
  const actions = [{ type: "set_variables", variables: { booked } }];
  return { text: `Booked: ${booked}.`, agentd: { actions } };
}

function findBill(bill: number): object {
  const state = bills.get(bill);
  return { text: state === undefined ? `There is no bill ${bill}.` : `Bill ${bill} ${state}.` };
}

function told(id: string, { type, data }: Event): object {
  if (!seen.has(id)) { // an event may come twice, and in any order
    seen.add(id);
    if (type === "session.ended" || type === "session.failed") console.log(`a call of ${data.duration} s: ${data.reason}`);
  }
  return {};
}

// Asked before each call, with the dispatch's metadata: answer within two seconds.
function asked({ job }: Request): object {
  const number: string = JSON.parse(job.metadata || "{}").from ?? "";
  return { variables: { patient: patients[number] ?? "" } };
}

function answerTo(path: string, headers: IncomingHttpHeaders, message: { type: string; data: unknown }): object {
  if (path === "/events") return told(headers["webhook-id"] as string, message as Event);
  if (path === "/calls") return asked(message.data as Request);
  const call = message.data as Call;
  if (call.tool === "find_bill") return findBill(call.arguments.bill);
  return bookAppointment(call.arguments, headers["idempotency-key"] as string);
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

createServer(async (request, response) => {
  const body = await bytesOf(request);
  try {
    const message = webhook.verify(body, request.headers as Record<string, string>);
    const answer = answerTo(request.url ?? "", request.headers, message as { type: string; data: unknown });
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(401).end(String(error));
  }
}).listen(Number(process.env.PORT ?? 8091), "127.0.0.1");
