// What LiveKit's stock front ends read of an agent, written down as JSON: livekit-client plus the observers of
// @livekit/components-core, which the React components, useVoiceAssistant and useAgent are made of.
// Runs against any server: `frontEnd.join(url, token)`, act, then `frontEnd.report()`.
import {
  connectedParticipantsObserver,
  createDataObserver,
  participantAttributesObserver,
  setupChat,
  setupTextStream,
  trackReferencesObservable,
  trackTranscriptionObserver,
} from "@livekit/components-core";
import { DisconnectReason, ParticipantKind, Room, RoomEvent, Track, createAudioAnalyser } from "livekit-client";

const began = performance.now();
const at = () => Math.round(performance.now() - began);
const seen = {
  joined_ms: 0,
  agents: {}, // by identity: what the first remote participant of kind AGENT looks like
  states: [], // of lk.agent.state, as participantAttributesObserver gives them
  tracks: [], // the agent's, as trackReferencesObservable gives them
  streams: [], // every lk.transcription stream: header, chunks as they came, attributes after the trailer
  transcriptions: [], // what setupTextStream (useTranscriptions) makes of them
  legacy: [], // every transcription packet
  track_transcriptions: {}, // what trackTranscriptionObserver (useTrackTranscription) says, by identity and segment
  chat: [], // what setupChat (useChat) shows
  loudest: 0, // of the agent's voice, 0 to 1
  disconnected: null,
};
const room = new Room();
let chat;

const isAgent = (participant) => participant.kind === ParticipantKind.AGENT;

/** Lets every reader of a topic through, and writes down what it carries. */
function recordStreams() {
  const register = room.registerTextStreamHandler.bind(room);
  room.registerTextStreamHandler = (topic, handler) =>
    register(topic, (reader, from) => {
      if (topic === "lk.transcription") recordStream(reader, from);
      handler(reader, from);
    });
}

function recordStream(reader, { identity }) {
  const record = { at_ms: at(), identity, header: { ...reader.info.attributes }, chunks: [], ended_ms: null, trailer: null };
  seen.streams.push(record);
  const chunks = reader[Symbol.asyncIterator].bind(reader);
  reader[Symbol.asyncIterator] = async function* () {
    for await (const text of { [Symbol.asyncIterator]: chunks }) {
      record.chunks.push({ at_ms: at(), text });
      yield text;
    }
    record.ended_ms = at();
    record.trailer = { ...reader.info.attributes };
  };
}

function watchAgent(agent) {
  if (seen.agents[agent.identity]) return;
  seen.agents[agent.identity] = {
    at_ms: at(),
    kind: ParticipantKind[agent.kind],
    name: agent.name,
    attributes: {},
  };
  participantAttributesObserver(agent).subscribe(({ attributes }) => {
    seen.agents[agent.identity].attributes = { ...attributes };
    const state = attributes["lk.agent.state"];
    if (state && seen.states.at(-1)?.state !== state) seen.states.push({ at_ms: at(), state });
  });
}

function watchTranscription(participant, publication) {
  const mine = (seen.track_transcriptions[participant.identity] ??= {});
  trackTranscriptionObserver(publication).subscribe(([segments]) => {
    for (const { id, text, final } of segments) mine[id] = { text, final };
  });
}

function observe() {
  recordStreams();
  connectedParticipantsObserver(room).subscribe((everyone) => everyone.filter(isAgent).forEach(watchAgent));
  setupTextStream(room, "lk.transcription").subscribe((all) => {
    seen.transcriptions = all.map(({ text, participantInfo, streamInfo }) => ({
      text,
      identity: participantInfo.identity,
      attributes: { ...streamInfo.attributes },
    }));
  });
  trackReferencesObservable(room, [Track.Source.Microphone], { onlySubscribed: true }).subscribe(({ trackReferences }) => {
    seen.tracks = trackReferences
      .filter(({ participant }) => isAgent(participant))
      .map(({ participant, publication, source }) => ({
        identity: participant.identity,
        sid: publication.trackSid,
        source,
        kind: publication.kind,
        muted: publication.isMuted,
      }));
  });
  chat = setupChat(room);
  chat.messageObservable.subscribe((messages) => {
    seen.chat = messages.map(({ message, from }) => ({ message, from: from?.identity }));
  });
  room
    .on(RoomEvent.TranscriptionReceived, (segments, participant, publication) =>
      seen.legacy.push({
        at_ms: at(),
        identity: participant?.identity,
        track: publication?.trackSid,
        segments: segments.map(({ id, text, final }) => ({ id, text, final })),
      }),
    )
    .on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
      document.body.append(track.attach());
      if (!isAgent(participant)) return;
      watchTranscription(participant, publication);
      const { calculateVolume } = createAudioAnalyser(track);
      setInterval(() => { seen.loudest = Math.max(seen.loudest, calculateVolume()); }, 50);
    })
    .on(RoomEvent.LocalTrackPublished, (publication, participant) => watchTranscription(participant, publication))
    .on(RoomEvent.Disconnected, (reason) => { seen.disconnected = DisconnectReason[reason]; });
}

globalThis.frontEnd = {
  async join({ url, token, microphone = true }) {
    observe();
    await room.connect(url, token);
    seen.joined_ms = at();
    seen.me = room.localParticipant.identity;
    await room.startAudio();
    if (microphone) await room.localParticipant.setMicrophoneEnabled(true);
    return seen.me;
  },
  chat: (text) => chat.send(text).then(() => true),
  microphone: (on) => room.localParticipant.setMicrophoneEnabled(on).then(() => true),
  leave: () => room.disconnect().then(() => true),
  report: () => seen,
};
