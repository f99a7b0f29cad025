// The talk page: a caller of the kind that LiveKit's own front ends are, small enough to read.
// What it reads of the agent is the same contract: kind AGENT, lk.agent.state, lk.transcription, lk.chat.

const LiveKit = globalThis.LivekitClient;
const AGENT_WAIT_MS = 20_000;
const READY = new Set(["listening", "thinking", "speaking"]);
const STATE_TEXT = {
  absent: "Waiting for the agent…",
  initializing: "The agent is getting ready…",
  idle: "The agent is idle",
  listening: "Listening",
  thinking: "Thinking…",
  speaking: "Speaking",
};
const MICROPHONE_TEXT = {
  PermissionDenied: "The microphone is blocked. Allow it in the address bar and press the microphone button again",
  NotFound: "No microphone was found. Connect one and press the microphone button again",
  DeviceInUse: "Another program holds the microphone. Close it and press the microphone button again",
  Other: "The microphone cannot be used",
};

const byId = (id) => document.getElementById(id);
const page = {
  body: document.body, agents: byId("agents"), call: byId("call"), chat: byId("chat"), clock: byId("clock"),
  controls: byId("controls"), end: byId("end"), hear: byId("hear"), log: byId("log"), message: byId("message"), microphone: byId("microphone"),
  microphoneText: byId("microphone-text"), notice: byId("notice"), send: byId("send"), setup: byId("setup"),
  spoken: byId("spoken"), start: byId("start"), state: byId("state"),
};

let call = null; // the call under way: there is one or none

class Told extends Error {} // an error whose message is written for the person at the page

// ---- What the page shows ----------------------------------------------------------------------------

function show(phase) {
  page.body.dataset.call = phase; // idle, connecting, active
  page.setup.hidden = phase === "active";
  page.call.hidden = phase === "connecting" || (phase === "idle" && !page.log.children.length);
  page.chat.hidden = page.controls.hidden = phase !== "active"; // what was said stays to be read
  page.log.scrollTop = page.log.scrollHeight;
  page.clock.hidden = phase !== "active";
  page.start.disabled = phase !== "idle" || !chosenAgent();
  page.start.textContent = phase === "connecting" ? "Calling…" : "Call";
}

function showAgent(state) {
  page.body.dataset.agent = state;
  page.state.textContent = STATE_TEXT[state] ?? state;
}

// `kind` "fault" or "news": the second is only told.
function notify(text, kind = "fault") {
  page.notice.textContent = text;
  page.notice.dataset.kind = kind;
  page.notice.hidden = !text;
}

function showMicrophone(on) {
  page.microphone.setAttribute("aria-pressed", String(on));
  page.microphoneText.textContent = on ? "Microphone on" : "Microphone off";
}

function showCaption(id, who, text, final) {
  if (!text.trim()) return;
  let line = page.log.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (!line) {
    line = document.createElement("li");
    Object.assign(line.dataset, { id, who, label: who === "you" ? "You" : call?.agentName ?? "Agent" });
    page.log.append(line);
  }
  line.textContent = text;
  line.dataset.final = String(final);
  if (final) page.spoken.textContent = `${line.dataset.label}: ${text}`;
  page.log.scrollTop = page.log.scrollHeight;
}

// ---- Before the call --------------------------------------------------------------------------------

const chosenAgent = () => page.agents.querySelector("input:checked")?.value;

async function listAgents() {
  const { agents } = await askDaemon("/talk/agents");
  page.agents.replaceChildren(page.agents.querySelector("legend"), ...agents.map(agentChoice));
  page.start.disabled = agents.length === 0;
  if (agents.length === 0) notify("No agent serves at the moment. “agentd get agents” says why.");
}

function agentChoice({ name, description }, index) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "agent", value: name, checked: index === 0 });
  const title = Object.assign(document.createElement("b"), { textContent: name });
  const about = Object.assign(document.createElement("small"), { textContent: description });
  label.append(input, title, about);
  return label;
}

async function askDaemon(path, body) {
  const request = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw new Told("agentd does not answer. Is it still running?");
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Told(`agentd refused: ${content.detail ?? answer.statusText}`);
  return content;
}

// ---- The call ---------------------------------------------------------------------------------------

class Call {
  constructor(agentName) {
    this.agentName = agentName;
    this.room = new LiveKit.Room();
    this.startedAt = performance.now();
    this.connected = false;
    this.meters = new Map(); // what stops a level's drawing, by the property that it sets
    this.reason = ""; // why it ended, for the person; empty when they ended it
    this.listen();
  }

  async start() {
    const { server_url: url, participant_token: token } = await askDaemon("/v1/token", {
      room_config: { agents: [{ agent_name: this.agentName }] },
    });
    try {
      await this.room.connect(url, token);
    } catch (error) {
      throw new Told(`LiveKit at ${url} cannot be reached (${error.message}).`);
    }
    this.connected = true;
    this.waiting = setTimeout(() => this.giveUp(), AGENT_WAIT_MS);
    this.ticking = setInterval(() => this.tick(), 500);
    this.room.startAudio().catch(() => {}); // the button "Let me hear the agent" stands in
  }

  listen() {
    const { RoomEvent } = LiveKit;
    this.room
      .on(RoomEvent.ParticipantConnected, () => this.watchAgent())
      .on(RoomEvent.ParticipantAttributesChanged, () => this.watchAgent())
      .on(RoomEvent.ParticipantDisconnected, (participant) => this.left(participant))
      .on(RoomEvent.TrackSubscribed, (track, _, participant) => this.play(track, participant))
      .on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((element) => element.remove()))
      .on(RoomEvent.AudioPlaybackStatusChanged, () => { page.hear.hidden = this.room.canPlaybackAudio; })
      .on(RoomEvent.MediaDevicesError, (error) => this.microphoneFailed(error))
      .on(RoomEvent.Reconnecting, () => { page.state.textContent = "The connection was lost. Reconnecting…"; })
      .on(RoomEvent.Reconnected, () => this.watchAgent())
      .on(RoomEvent.Disconnected, (reason) => this.disconnected(reason));
    this.room.registerTextStreamHandler("lk.transcription", (reader, from) => this.caption(reader, from));
  }

  get agent() {
    return [...this.room.remoteParticipants.values()].find(({ kind }) => kind === LiveKit.ParticipantKind.AGENT);
  }

  watchAgent() {
    const state = this.agent ? this.agent.attributes["lk.agent.state"] ?? "initializing" : "absent";
    if (READY.has(state)) clearTimeout(this.waiting);
    showAgent(state);
  }

  giveUp() {
    this.end(
      this.agent
        ? `${this.agentName} joined, but did not get ready within 20 seconds. The daemon's log says why.`
        : `${this.agentName} did not join within 20 seconds. “agentd get agents” says whether it is registered.`,
    );
  }

  left(participant) {
    if (participant.kind !== LiveKit.ParticipantKind.AGENT || this.agent) return;
    showAgent("absent");
    // The room that is deleted next says that this was the call's end; without it, the agent failed.
    this.waiting = setTimeout(() => this.end("The agent left the call unexpectedly."), 3_000);
  }

  disconnected(reason) {
    if (!this.connected) return; // start() says what failed
    const { DisconnectReason } = LiveKit;
    const told = {
      [DisconnectReason.CLIENT_INITIATED]: this.reason,
      [DisconnectReason.ROOM_DELETED]: "The agent ended the call.",
      [DisconnectReason.ROOM_CLOSED]: "The room was closed.",
      [DisconnectReason.PARTICIPANT_REMOVED]: "You were removed from the call.",
      [DisconnectReason.DUPLICATE_IDENTITY]: "This call went on in another window.",
      [DisconnectReason.SERVER_SHUTDOWN]: "The LiveKit server shut down.",
    };
    const news = [DisconnectReason.ROOM_DELETED, DisconnectReason.ROOM_CLOSED].includes(reason);
    this.over(told[reason] ?? "The connection to LiveKit was lost, and could not be made again.", news ? "news" : "fault");
  }

  end(reason = "") {
    this.reason = reason;
    this.room.disconnect();
  }

  over(reason, kind = "fault") {
    clearTimeout(this.waiting);
    clearInterval(this.ticking);
    for (const stop of this.meters.values()) stop();
    if (call !== this) return;
    call = null;
    show("idle");
    page.body.dataset.agent = "absent";
    page.state.textContent = this.connected ? "The call is over" : "The call was not made";
    page.hear.hidden = true;
    notify(reason, kind);
    page.start.focus();
  }

  tick() {
    const seconds = Math.floor((performance.now() - this.startedAt) / 1000);
    page.clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }

  play(track, participant) {
    if (track.kind !== LiveKit.Track.Kind.Audio) return;
    document.body.append(track.attach());
    if (participant.kind === LiveKit.ParticipantKind.AGENT) this.meter(track, "--volume");
  }

  async useMicrophone(on) {
    if (on && !navigator.mediaDevices) {
      notify("Browsers give the microphone to secure pages only: open this page on localhost or over HTTPS. Chat works.");
      return showMicrophone(false);
    }
    try {
      const publication = await this.room.localParticipant.setMicrophoneEnabled(on);
      if (on && publication?.track) this.meter(publication.track, "--mine-level");
      if (on) notify("");
    } catch (error) {
      if (this.room.state === "connected") this.microphoneFailed(error);
    }
    showMicrophone(this.room.localParticipant.isMicrophoneEnabled);
  }

  microphoneFailed(error) {
    const failure = LiveKit.MediaDeviceFailure.getFailure(error) ?? "Other";
    const detail = failure === "Other" ? ` (${error.message})` : "";
    notify(`${MICROPHONE_TEXT[failure]}${detail}. Until then, chat works.`);
    showMicrophone(false);
  }

  meter(track, property) {
    this.meters.get(property)?.();
    const { calculateVolume, cleanup } = LiveKit.createAudioAnalyser(track, { smoothingTimeConstant: 0.5 });
    let frame = 0;
    const draw = () => {
      const level = track.isMuted ? 0 : Math.min(1, calculateVolume() * 1.6);
      page.body.style.setProperty(property, level.toFixed(3));
      frame = requestAnimationFrame(draw);
    };
    draw();
    this.meters.set(property, () => {
      cancelAnimationFrame(frame);
      cleanup();
      page.body.style.removeProperty(property);
      this.meters.delete(property);
    });
  }

  // A stream carries deltas; a new stream of a known segment replaces what was shown of it.
  async caption(reader, { identity }) {
    const { attributes = {}, id } = reader.info;
    const segment = attributes["lk.segment_id"] ?? id;
    const who = identity === this.room.localParticipant.identity ? "you" : "agent";
    const finalAtStart = attributes["lk.transcription_final"] === "true";
    let text = "";
    try {
      for await (const delta of reader) {
        text += delta;
        showCaption(segment, who, text, finalAtStart);
      }
    } catch {
      // the sender went away in the middle of a sentence: what was shown stays
    }
    if (who === "agent" || finalAtStart) showCaption(segment, who, text, true);
  }

  async chat(text) {
    await this.room.localParticipant.sendText(text, { topic: "lk.chat" });
    showCaption(`chat-${performance.now()}`, "you", text, true);
  }
}

// ---- The buttons ------------------------------------------------------------------------------------

page.setup.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (call) return;
  notify("");
  page.log.replaceChildren();
  show("connecting");
  page.state.textContent = "Calling…";
  const begun = new Call(chosenAgent());
  call = begun;
  try {
    await begun.start();
    if (call !== begun) return; // ended meanwhile
    show("active");
    begun.watchAgent();
    page.end.focus();
    await begun.useMicrophone(true);
  } catch (error) {
    begun.room.disconnect();
    begun.over(error instanceof Told ? error.message : `The call failed: ${error.message}`);
  }
});

page.chat.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = page.message.value.trim();
  if (!text || !call) return;
  page.message.value = "";
  page.send.disabled = true;
  try {
    await call.chat(text);
  } catch (error) {
    page.message.value = text;
    notify(`The message was not sent: ${error.message}`);
  }
});

page.message.addEventListener("input", () => { page.send.disabled = !page.message.value.trim(); });
page.microphone.addEventListener("click", () => call?.useMicrophone(page.microphone.getAttribute("aria-pressed") === "false"));
page.hear.addEventListener("click", () => call?.room.startAudio());
page.end.addEventListener("click", () => call?.end());
window.addEventListener("pagehide", () => call?.end());

LiveKit.setLogLevel("warn");
show("idle");
listAgents().catch((error) => notify(error.message));
