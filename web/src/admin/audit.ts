// The audit trail for people: its actions, where its targets can be seen, its details as pairs.
import type { AuditEntry } from '../api/types';
import { route } from '../state/route.svelte';

/** The closed list of docs/API.md. */
export const ACTIONS = [
  'request.created', 'request.changed', 'request.resumed', 'request.deleted', 'request.suspended', 'request.ended', 'agent.put',
  'agent.deleted', 'listening.started', 'listening.live', 'listening.changed', 'listening.hung-up', 'listening.ended', 'shield.on',
  'shield.off', 'denied', 'signed-in', 'sign-in-failed', 'signed-out', 'token.created', 'token.revoked', 'webhook.created',
  'webhook.changed', 'webhook.deleted', 'webhook.paused', 'config.reloaded', 'engine.started', 'engine.draining', 'engine.stopped',
] as const;
export type Action = (typeof ACTIONS)[number];

export const isAction = (text: string): text is Action => ACTIONS.includes(text as Action);

/** Where on the page a target can be seen; null if nowhere. */
export function targetHref(entry: AuditEntry): string | null {
  const { target } = entry;
  if (!target) return null;
  if (target.startsWith('lst_')) return route.href('archive', { listening: target });
  if (target.startsWith('req_')) return route.href('requests', { state: 'all', agent: entry.agent });
  if (entry.action.startsWith('agent.')) return route.href('agents', { search: target });
  if (/^(token|webhook|signed)/.test(entry.action)) return route.href('access');
  return null;
}

/** `{"calls": 2, "listener": {"user": "paal"}}` as pairs: calls 2, listener.user paal. */
export function pairs(details: Record<string, unknown>, under = ''): [string, string][] {
  return Object.entries(details).flatMap(([name, value]): [string, string][] => {
    const key = under ? `${under}.${name}` : name;
    if (value === null || value === undefined) return [[key, '–']];
    if (Array.isArray(value)) return [[key, value.map((one) => (typeof one === 'object' ? JSON.stringify(one) : String(one))).join(', ') || '–']];
    if (typeof value === 'object') return pairs(value as Record<string, unknown>, key);
    return [[key, String(value)]];
  });
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
export const isTime = (text: string): boolean => TIME.test(text);
