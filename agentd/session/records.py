"""What happens in a session, as records: written to the journal, counted in metrics, sent to observers.

The journal's records are the only memory of a call that outlives its process: `agentd.session.journal.restore`
rebuilds a conversation from them. Kinds and the fields of their `data`:

session.started    agent, revision, source, places (file:line of each setting that is written and may be behind a
                   decision), room, job_id, metadata (of the dispatch), variables
session.requested  asked (the agent whose call it was), outcome (accepted, timeout, unreachable, error), accept, agent
                   (who was named to take it), variables (that were given, and are in session.started),
                   instructions_append (to the agent's), duration_s, message: the question before the call
session.queued     waited_s: so long the caller waited for a place before the session began
busy               rule (began, entered, left), step (of `when_busy`, up to which things are given up; 0: nothing), load
                   (for which), early (whether answers may be begun early), llm (the provider of the step's model, which
                   the call has to its end; "": the agent's)
session.resumed    incarnation, gap_s, revision (by which it goes on)
session.ended      reason, duration_s
caller.linked      identity, name, kind, returned; where the agent talks with several people: label (what the model
                   reads of them), present (the labels of all who are here)
caller.left        identity, reason, final; present
caller.unheard     identity, name, rule, value (the limit): in the room, and beyond the number of people that are heard
caller.changed     identity, name, metadata, attributes (those that are different; "" for one that has gone)
caller.muted       muted, identity
voice.unheard      seconds (the way to the caller broke: so much of what was played was not heard, nor what was queued)
state              state (what front ends see: initializing, listening, thinking, speaking)
echo               delay_s, loss_db (the agent's own voice comes back; without them: no more)
user.state         state (listening, speaking, away), before, rule, value
speech.started     at_s (session time of the first speech window); it and all below that are about the sound or words
                   of a participant have `speaker`, their identity
speech.ended       duration_s
speech.overlapped  outcome (interruption, or why the agent goes on: acknowledgement, no_words, own_echo ...), duration_s
transcript         text, final, language (heard, where the recogniser tells), stt_s (from the end of speech to the
                   text); other_voice (true: of somebody else at the speaker's microphone)
turn.held          text, source, rule, language (the turn has ended, and hooks look at it before the model does); of
                   several people or voices: label, other_voice, waits
turn.user          turn, text, rule (why the turn ended), value (the configuration behind it), delay_s, language
                   (heard, or the conversation's), source (speech, text), revision (of the agent); of several people
                   or voices: label, other_voice, waits (true: it enters the conversation when a reply to it or a
                   later turn begins); of a turn that a hook has changed: heard (what was said), hook (where the hook
                   stands)
turn.corrected     turn, text: its words were found out after it had ended
language           language, before, rule (clear_turn, agreeing_turns, tool, caller_attribute), value: the
                   conversation goes on in this language
turn.judged        probability (a turn detector's, that the caller has finished), duration_s
interruption.judged  outlook (an interruption detector's: interrupts, ignored, open), probability, value (the
                   configuration behind it), sound_s, duration_s: when it is another than before in the same utterance
speech.wordless    (the recogniser found no words in the utterance)
speech.created     speech (its name), purpose (as below), source (say, generate_reply), requested (from outside: by an
                   operator, a tool or a hook), priority, interruptible, in_history, text, instruction, user_input,
                   end_call (the reason for which the call ends after it), causes (numbers of the hooks that brought
                   it about), turn (that it answers), again (it was cut by somebody else before anything of it was
                   heard): it waits to be said
speech.finished    speech, requested, interrupted: it was said, or will not be
reply.started      reply, turn, purpose (answer, greeting, say, reply, idle, warning, bridge, goodbye, consent,
                   result), generate (whether the model is asked), speech, in_history (whether the model learns of it)
reply.written      reply (the model has finished: what is not heard yet stands in the segments)
segment.started    reply, segment, text (handed to synthesis), draft (number of the message in the reply that it
                   belongs to), before_calls (that message stands ahead of the calls under way), opening (not said
                   again by a later incarnation)
segment.heard      reply, segment, text (what was played of it), interrupted (cut before its end)
turn.agent         reply, turn, text (all that was heard), interrupted, purpose, revision (of the agent),
                   latencies {eou, stt, llm_ttft, tools, tts_ttfb, hold, e2e} in seconds (see `agentd.session.timing`)
decision           rule, action (commit_turn, interrupt, pause, resume, ignore ...), value, detail; speaker (of several)
tool.called        reply, id, name, arguments, speaker (whose turn led to it), key (names this call over retries, and
                   over the death of the process); expires_at (unix time: until then its result may come by callback)
tool.callback      reply, id, name, digests (SHA-256 of the tokens with which its result may be brought)
tool.progress      reply, id, name, status, say, spoken (whether that was said)
tool.detached      reply, id, name, rule (background, pending), value; expires_at: no reply waits for it any longer, and
                   the agent speaks of its result when it comes
tool.repeated      reply, id, name, key: its process died, and it is made again
tool.completed     reply, id, name, content, is_error, outcome, duration_s; rule, value: why it was not made; variables
                   (that its answer sets); ignored (how many actions of its answer nobody here knows); end_call (the
                   reason for which the call ends after this reply); announced (true: the agent is to speak of it by
                   itself). After the outcome `unknown` another may follow: its result was brought after all
tools.changed      changes (by name: null for a tool that goes, true for one of the agent file that comes back, or ref,
                   name, description, parameters, timeout_s of Python code that the model may call from now on)
consent            id (of the question, and of the call once it is agreed to), tool, digest (of the tool and its
                   arguments), by (spoken, dtmf, operator), identity (whose answer counts), turn (the last when it was
                   asked), outcome, rule, value; outcome asked: arguments, text (what is read back), expires_s; heard,
                   unheard (the question was put, or cut before its end); ignored, unclear (an answer that does not
                   count, or says neither yes nor no: it is put again); granted, denied, expired, replaced (by a call
                   with other arguments), unclear_twice, not_heard; used (the call is made), withdrawn (something else
                   was said before it was, or another agent has the call), refused (nobody is asked)
rpc.received       method, identity, payload: a front end called what the agent offers
handoff.asked      agent, history, say, variables, enter, template, rule (operator, tool, hook, model, expression,
                   event, silence, task_exhausted), value: another agent is to have the call, once it is ready and this
                   turn is over; the decision RefuseHandoff (agent, asked: that rule) says that it will not
handoff            from, to, revision, history, rule, value, place (file:line of the setting), first (it has not had
                   this call before): the call goes from one agent to another
agent.entered      agent, revision, source, places, previous, first, enters (answer, greet, reply, wait), language,
                   variables (all), first_hook (the number of its first hook in this call): it has the call now
agent.edited       agent, revision, previous, source, places, applied (settings that the call takes), kept (each with
                   setting and why: those that stay), language, variables (all), first_hook: the agent's file was
                   edited, and the call goes on by the new revision; the decision KeepRevision (rule, value: why,
                   agent, revision, previous, kept) says that it does not
agent.adjusted     edit (append, replace), text: what the model is told, until the call is handed over
context.truncated  items (the oldest, forgotten for good; system messages are not counted and stay), later (of the
                   caller's current turn, left out of one request), tokens_before, tokens, rule, value
context.summarized items (the oldest, replaced), text (the system message that stands for them), tokens_before, tokens,
                   rule, value, duration_s
context.edited     edit (add, replace, keep), items (the oldest, replaced or forgotten), context (what was put there),
                   rule, value: somebody changed what the model knows
transfer           destination, mode (cold, warm), state (started, answered, completed, failed), reason (why it failed)
task.started       task, run (its number in the call), by (tool, hook, start ...), state (see
                   `agentd.session.task_state`; without secrets)
task.step          task, run, rule (value, partial, keys, confirmed, denied, corrected, went_back, skipped, unclear,
                   exhausted, or why an answer was not taken), field, state (after it)
task.ended         task, run, outcome (complete, given_up, exhausted), rule, field (whose retries were exhausted),
                   values (of a secret the last four digits)
dtmf.received      key (a dot for one of a secret), identity
dtmf.sent          keys
mute               what (ears: the callers are not heard; voice: nothing is said), muted, rule
variables          values (merged into the session's)
preemption         attempt (of the turn that was expected to end), outcome (used, dropped), ran_s, characters
                   (written by then); used: reply; dropped: rule, value
usage              prompt_tokens, completion_tokens, cached_tokens, characters; discarded (true: of an attempt that was
                   dropped)
provider           kind, provider, outcome (ok, timeout, unavailable, refused; aside: it was not asked first, as it had
                   failed lately), duration_s, message; preemptive (the attempt that asked)
hook.entered       hook (its key), event (session_started, participant_linked): the hook is given it, once in a call
hook.completed     hook (its number), on, place (file:line), event, outcome (ok, error, timeout, crashed,
                   cancelled ...), message, duration_s
shutdown.added     ref (of a function to call when the call is over), hook (the number of the one that wants it)
agent.attributes   attributes (that a hook gave the agent's participant; "" for one that goes)
hook.dropped       events (how many), types (how many of each): they came too fast for the hooks
error              where, message
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`seq` counts from 0 in a session; `at` is unix time in seconds."""

    seq: int
    at: float
    kind: str
    data: Mapping[str, Any]
