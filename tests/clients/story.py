"""One day of a platform, by the client that openapi-python-client makes of the OpenAPI document. It says "ordered" when a
call should come and "heard" when the call may end; tests/interop/clients.rs sees to both."""

import os
import time
from datetime import UTC, datetime, timedelta

from medlytt_client import AuthenticatedClient
from medlytt_client.api.agents import agents_one, agents_status, agents_upsert
from medlytt_client.api.events import events_event_log
from medlytt_client.api.listenings import listenings_list
from medlytt_client.api.requests import requests_delete, requests_one, requests_order
from medlytt_client.models import (
    AgentBody,
    AgentView,
    EventPage,
    ListListeningView,
    ListenerBody,
    ListeningView,
    LoggedEvent,
    OrderBody,
    PlatformStatus,
    Problem,
    RequestView,
    StatusBody,
)

api = AuthenticatedClient(base_url=os.environ["MEDLYTT_URL"], token=os.environ["MEDLYTT_TOKEN"])

# The directory and a status come in.
agent = AgentBody(name="Bente Dahl", number="1078", group="Support", skills=["Danish"])
put = agents_upsert.sync_detailed("bente", client=api, body=agent)
assert isinstance(put.parsed, AgentView), put
assert (put.status_code, put.parsed.name, put.parsed.skills) == (201, "Bente Dahl", ["Danish"]), put
paused = agents_status.sync("bente", client=api, body=StatusBody(status=PlatformStatus.PAUSE))
assert isinstance(paused, AgentView) and paused.status == "pause", paused
nobody = agents_one.sync("nobody", client=api)
assert isinstance(nobody, Problem) and nobody.code == "agent-not-found", nobody

# An order goes out.
start = events_event_log.sync(client=api, after="now")
assert isinstance(start, EventPage), start
order = OrderBody(
    agent="anna",
    listener=ListenerBody(user="sam"),
    calls=2,
    until=datetime.now(UTC) + timedelta(minutes=10),
)
ordered = requests_order.sync_detailed(client=api, body=order, idempotency_key="story-py")
request = ordered.parsed
assert isinstance(request, RequestView), ordered
assert (ordered.status_code, request.state, request.calls.limit) == (201, "waiting", 2), request
print("ordered", flush=True)

# Events tell what becomes of it.
after = start.next_after
seen: list[str] = []


def next_event(wanted: str) -> LoggedEvent:
    global after
    for _ in range(150):
        page = events_event_log.sync(client=api, after=after, limit=1000)
        assert isinstance(page, EventPage) and page.resync is None, page
        for event in page.items:
            after = event.id
            seen.append(event.type_)
            if event.type_ == wanted:
                return event
        after = page.next_after
        time.sleep(0.1)
    raise AssertionError(f"no {wanted} among {seen}")


def next_listening(wanted: str) -> ListeningView:
    listening = next_event(wanted).listening
    assert isinstance(listening, ListeningView), listening
    return listening


next_event("request.created")
next_event("call.started")
live = next_listening("listening.live")
assert live.request == request.id, live
print("heard", flush=True)
ended = next_listening("listening.ended")
assert (ended.id, ended.end_reason, ended.counted) == (live.id, "call-ended", True), ended

# The archive has it, and the request goes.
archive = listenings_list.sync(client=api, agent="anna", live=False)
assert isinstance(archive, ListListeningView), archive
kept = next(listening for listening in archive.items if listening.id == live.id)
assert (kept.end_reason, kept.listener.user, kept.ordered_by) == ("call-ended", "sam", "admin"), kept
assert kept.heard_ms > 0, kept
assert requests_delete.sync_detailed(request.id, client=api).status_code == 204
deleted = requests_one.sync(request.id, client=api)
assert isinstance(deleted, RequestView) and deleted.state == "deleted", deleted
print("done", flush=True)
