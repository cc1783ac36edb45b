// One day of a platform, by the client that openapi-typescript and openapi-fetch make of the OpenAPI document. It says
// "ordered" when a call should come and "heard" when the call may end; tests/interop/clients.rs sees to both.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const { MEDLYTT_URL: baseUrl, MEDLYTT_TOKEN: token } = process.env;
const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

// The directory and a status come in.
const agent = { name: "Berit Dahl", number: "1077", group: "Support", skills: ["Danish"] };
const put = await api.PUT("/v1/agents/{id}", { params: { path: { id: "berit" } }, body: agent });
assert.ok(put.data);
assert.deepEqual([put.response.status, put.data.name, put.data.skills], [201, "Berit Dahl", ["Danish"]]);
const paused = await api.PUT("/v1/agents/{id}/status", { params: { path: { id: "berit" } }, body: { status: "pause" } });
assert.equal(paused.data?.status, "pause");
const nobody = await api.GET("/v1/agents/{id}", { params: { path: { id: "nobody" } } });
assert.equal(nobody.error?.code, "agent-not-found");

// An order goes out.
const from = await api.GET("/v1/events/log", { params: { query: { after: "now" } } });
assert.ok(from.data);
const until = new Date(Date.now() + 600_000).toISOString();
const ordered = await api.POST("/v1/requests", {
  params: { header: { "Idempotency-Key": "story-ts" } },
  body: { agent: "anna", listener: { user: "sam" }, calls: 2, until },
});
assert.ok(ordered.data, JSON.stringify(ordered.error));
const request = ordered.data;
assert.deepEqual([ordered.response.status, request.state, request.calls.limit], [201, "waiting", 2]);
console.log("ordered");

// Events tell what becomes of it.
type Event = components["schemas"]["LoggedEvent"];
let after = from.data.next_after;
const seen: Event["type"][] = [];
async function next(wanted: Event["type"]): Promise<Event> {
  for (let patience = 0; patience < 150; patience++) {
    const page = await api.GET("/v1/events/log", { params: { query: { after, limit: 1000 } } });
    assert.ok(page.data);
    assert.equal(page.data.resync, null);
    for (const event of page.data.items) {
      after = event.id;
      seen.push(event.type);
      if (event.type === wanted) return event;
    }
    after = page.data.next_after;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`no ${wanted} among ${seen}`);
}
assert.equal((await next("request.created")).request?.id, request.id);
assert.equal((await next("call.started")).call?.agent, "anna");
const live = (await next("listening.live")).listening;
assert.equal(live?.request, request.id);
console.log("heard");
const ended = (await next("listening.ended")).listening;
assert.deepEqual([ended?.id, ended?.end_reason, ended?.counted], [live.id, "call-ended", true]);

// The archive has it, and the request goes.
const archive = await api.GET("/v1/listenings", { params: { query: { agent: "anna", live: false } } });
const kept = archive.data?.items.find((listening) => listening.id === live.id);
assert.deepEqual([kept?.end_reason, kept?.listener.user, kept?.ordered_by], ["call-ended", "sam", "admin"]);
assert.ok((kept?.heard_ms ?? 0) > 0);
const one = { params: { path: { id: request.id } } };
assert.equal((await api.DELETE("/v1/requests/{id}", one)).response.status, 204);
assert.equal((await api.GET("/v1/requests/{id}", one)).data?.state, "deleted");
console.log("done");
