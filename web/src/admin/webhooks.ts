// Webhooks as the API shows them (docs/API.md).

export interface Webhook {
  id: string;
  owner: string;
  url: string;
  events: string[];
  agents: string[];
  groups: string[];
  active: boolean;
  paused: { reason: string; at: string } | null;
  old_secret_until: string | null;
  created_at: string;
  changed_at: string;
}

export interface Delivery {
  id: string;
  type: string;
  state: 'pending' | 'delivered' | 'failed';
  attempts: number;
  created_at: string;
  next_attempt_at: string | null;
  last: { at: string; status: number | null; error: string | null } | null;
}

export interface TestResult { id: string; delivered: boolean; status: number | null; error: string | null; took_ms: number }

export const EVENTS = [
  'agent.status', 'call.started', 'call.answered', 'call.held', 'call.resumed', 'call.consulting', 'call.transferring', 'call.transferred',
  'call.ended', 'call.shielded', 'request.created', 'request.updated', 'request.ended', 'listening.ringing', 'listening.live',
  'listening.focus', 'listening.ended', 'audio.one-way', 'webhook.paused',
] as const;

const REASONS = ['gone', 'failing', 'too-many-pending', 'owner-gone'] as const;
export const isReason = (text: string): text is (typeof REASONS)[number] => (REASONS as readonly string[]).includes(text);

/** `200`, `timeout`, or a dash. */
export const outcome = (last: { status: number | null; error: string | null } | null): string =>
  last ? String(last.error ?? last.status ?? '–') : '–';
