// An order while it is written: what is wrong with it, what it says, and the body that is sent. Pure; tested by draft.test.ts.
import type { MonitoringRequest, OrderBody } from '../../api/types';

export type Who = 'page' | 'softphone' | 'user' | 'agent' | 'number';

export interface Draft {
  who: Who;
  user: string;
  /** As typed: a name or a number of an agent. */
  agent: string;
  number: string;
  /** Empty: all of them. */
  calls: string;
  until: string;
  tomorrow: boolean;
}

export type Field = 'user' | 'agent' | 'number' | 'calls' | 'until';
export type Fault = 'eUser' | 'eAgent' | 'eSelf' | 'eNum' | 'eCalls' | 'eTime' | 'ePassed';
export type Faults = Partial<Record<Field, Fault>>;

/** Minutes since midnight of `17:00`, `17.00`, `1700` or `17`; `null` if it is no time. */
export function minutes(text: string): number | null {
  const [, hours = '', rest = '0'] = /^\s*(\d{1,2})(?:\s*[:.]?\s*(\d{2}))?\s*$/.exec(text) ?? [];
  if (hours === '' || Number(hours) > 23 || Number(rest) > 59) return null;
  return Number(hours) * 60 + Number(rest);
}

/** The moment that is meant, in the viewer's zone. */
export function moment(text: string, now: number, tomorrow: boolean): Date | null {
  const after = minutes(text);
  if (after === null) return null;
  const day = new Date(now);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + (tomorrow ? 1 : 0), Math.floor(after / 60), after % 60);
}

/** Five in the afternoon as long as it is more than half an hour off, else an hour or so from now. */
export function firstUntil(now: number): { until: string; tomorrow: boolean } {
  const day = new Date(now);
  const five = new Date(day.getFullYear(), day.getMonth(), day.getDate(), 17);
  const quarter = 15 * 60_000;
  const at = five.getTime() - now > 2 * quarter ? five : new Date(Math.ceil((now + 4 * quarter) / quarter) * quarter);
  return { until: `${two(at.getHours())}:${two(at.getMinutes())}`, tomorrow: at.getDate() !== day.getDate() };
}

export const callsFault = (calls: string): Fault | undefined => (/^([1-9]\d{0,2})?$/.test(calls.trim()) ? undefined : 'eCalls');

export function untilFault(until: string, now: number, tomorrow: boolean): Fault | undefined {
  const at = moment(until, now, tomorrow);
  if (!at) return 'eTime';
  return at.getTime() <= now ? 'ePassed' : undefined;
}

/** `trainee`: the agent whom the text in `agent` means. */
export function faults(draft: Draft, now: number, agent: string, trainee: string | null): Faults {
  const found: Faults = {};
  if (draft.who === 'user' && !draft.user) found.user = 'eUser';
  if (draft.who === 'agent' && !trainee) found.agent = 'eAgent';
  else if (draft.who === 'agent' && trainee === agent) found.agent = 'eSelf';
  if (draft.who === 'number' && !/^\+[1-9]\d{6,18}$/.test(digits(draft.number))) found.number = 'eNum';
  const [calls, until] = [callsFault(draft.calls), untilFault(draft.until, now, draft.tomorrow)];
  if (calls) found.calls = calls;
  if (until) found.until = until;
  return found;
}

export function body(draft: Draft, now: number, agent: string, trainee: string | null, me: string): OrderBody {
  const listeners: Record<Who, OrderBody['listener']> = {
    page: { page: true }, softphone: { user: me }, user: { user: draft.user }, agent: { agent: trainee ?? '' }, number: { number: digits(draft.number) },
  };
  return {
    agent,
    listener: listeners[draft.who],
    ...(draft.calls.trim() ? { calls: Number(draft.calls) } : {}),
    until: moment(draft.until, now, draft.tomorrow)?.toISOString() ?? '',
    // The player has a balance of its own: it wants both sides apart. Phones mostly have one ear.
    ...(draft.who === 'page' ? { layout: 'stereo' as const } : {}),
  };
}

/** A request of the same listener for another agent. */
export function sameListener(order: OrderBody, requests: Iterable<MonitoringRequest>, me: string): MonitoringRequest | null {
  for (const request of requests) {
    if (!request.ended_at && request.agent.id !== order.agent && isSame(order.listener, request, me)) return request;
  }
  return null;
}

function isSame(listener: OrderBody['listener'], { listener: other }: MonitoringRequest, me: string): boolean {
  if ('page' in listener) return other.kind === 'page' && other.user === me;
  if ('user' in listener) return other.kind === 'softphone' && other.user === listener.user;
  if ('agent' in listener) return other.agent === listener.agent;
  return other.number !== undefined && digits(other.number) === digits(listener.number);
}

export const digits = (number: string): string => number.replace(/[\s().\-/]/g, '').replace(/^00/, '+');
const two = (n: number): string => String(n).padStart(2, '0');
