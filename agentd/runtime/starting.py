"""What a worker is told to begin a call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentd.runtime.jobs import Session
from agentd.runtime.messages import QueueTicket, StartJob
from agentd.tools.acts import GiveUp
from agentd.transport.protocol import Job


def start_job(
    session: Session, token: str, *, prepared: bool, busy: GiveUp, queue: QueueTicket | None = None
) -> StartJob:
    return StartJob(
        session=session.id,
        job=session.job,
        agent=session.agent,
        called=session.shown_as,
        revision=session.definition.digest,
        generation=session.generation,
        room=session.room,
        url=session.url,
        token=token,
        identity=session.identity,
        journal=session.journal,
        participant=session.participant,
        metadata=session.metadata,
        incarnation=session.incarnation,
        started_at=session.started_at,
        registration=session.registration,
        variables=session.variables,
        requested=_requested(session),
        definition=None if prepared else session.definition,
        places=session.definition.places,
        others=session.others,
        queue=queue,
        waited_s=session.waited_s,
        busy=busy,
        llm_step=session.llm_step,
    )


def _requested(session: Session) -> Mapping[str, Any] | None:
    """The record of the question about it, with the agent who was asked for."""
    asked = session.registration or session.agent
    return {**session.admission.record(), "asked": asked} if session.admission else None


def variables_of(job: Job) -> Mapping[str, Any]:
    """`variables` of the dispatch's metadata, where that is a JSON object."""
    try:
        metadata = json.loads(job.metadata) if job.metadata else {}
    except ValueError:
        return {}
    variables = metadata.get("variables") if isinstance(metadata, dict) else None
    return variables if isinstance(variables, dict) else {}
