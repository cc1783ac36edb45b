// What an event or a list does to the lists that the page holds. Without clock and network: tested by tests/state.test.ts.
import type { Agent, Call, Listening, MonitoringRequest } from '../api/types';
import type { Message } from './sse';

export interface LiveEvent {
  id: string;
  /** `agent.status`, `request.created`, `listening.ringing` … (docs/API.md, Events); `resync`. */
  name: string;
  at: string;
  agent?: Agent;
  call?: Call;
  request?: MonitoringRequest;
  listening?: Listening;
}

export interface Lists {
  agents: Map<string, Agent>;
  requests: Map<string, MonitoringRequest>;
  listenings: Map<string, Listening>;
}

/** How many that ended in this visit are kept of each kind. */
export const ENDED_MAX = 200;

/** `null` for what is no event of ours. */
export function parse(message: Message): LiveEvent | null {
  try {
    return { name: message.event, ...(JSON.parse(message.data) as Omit<LiveEvent, 'name'>) };
  } catch {
    return null;
  }
}

/** What the event is about, so that of several in one frame the last counts; `null`: nothing that a list holds. */
export function subject(event: LiveEvent): string | null {
  const { agent, request, listening } = event;
  if (agent) return `agent ${agent.id}`;
  if (request) return `request ${request.id}`;
  return listening ? `listening ${listening.id}` : null;
}

export function apply(lists: Lists, event: LiveEvent): void {
  const { agent, request, listening } = event;
  if (agent && event.name === 'agent.deleted') lists.agents.delete(agent.id);
  else if (agent) lists.agents.set(agent.id, agent);
  if (request) put(lists.requests, request);
  if (listening) put(lists.listenings, listening);
}

/** Takes over a list as the engine has it now; what is not in it any more ended unseen. */
export function replace<T extends { id: string; ended_at?: string | null }>(map: Map<string, T>, items: T[]): void {
  const present = new Set(items.map((item) => item.id));
  for (const [id, item] of [...map]) if (!present.has(id) && !item.ended_at) map.delete(id);
  for (const item of items) map.set(item.id, item);
}

function put<T extends { id: string; ended_at: string | null }>(map: Map<string, T>, item: T): void {
  const ended = map.get(item.id)?.ended_at;
  // Events keep their order, but an answer to a request of ours may come before or after them: an end is final.
  if (ended && !item.ended_at) return;
  map.set(item.id, item);
  if (item.ended_at) prune(map);
}

function prune<T extends { id: string; ended_at: string | null }>(map: Map<string, T>): void {
  const ended = [...map.values()].filter((item) => item.ended_at);
  if (ended.length <= ENDED_MAX) return;
  ended.sort((a, b) => Date.parse(a.ended_at ?? '') - Date.parse(b.ended_at ?? ''));
  for (const item of ended.slice(0, ended.length - ENDED_MAX)) map.delete(item.id);
}
