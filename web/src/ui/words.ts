// What the engine says, in the words of the page.
import { ApiError } from '../api/client';
import type { ListenerRef, MonitoringRequest } from '../api/types';
import { locale, t, time, type Key } from '../i18n/index.svelte';
import { clock } from '../state/clock.svelte';
import { session } from '../state/session.svelte';

/** Problem codes by their stable name; what has no words of its own is quoted. */
export function problemWords(error: unknown): string {
  if (!(error instanceof ApiError)) return t('c_unknown', { d: String(error) });
  const key = `c_${error.code}`;
  // They come later than the first load; what shows them shows them again then.
  if (!('c_unknown' in locale.words)) void locale.late();
  if (!('c_unknown' in locale.words)) return error.message;
  return t((key in locale.words ? key : 'c_unknown') as Key, { d: error.message || error.code });
}

export function listenerName(listener: ListenerRef): string {
  const mine = listener.user !== undefined && listener.user === session.user?.id;
  if (listener.kind === 'page') return mine ? t('myBrowser') : t('browserOf', { n: listener.name });
  if (listener.kind === 'softphone' && mine) return t('l_softphone');
  return listener.kind === 'number' ? (listener.number ?? listener.name) : listener.name;
}

/** 17:00, tomorrow 08:00, or 3 Dec 08:00. */
export function untilTime(until: string | Date): string {
  const [at, now] = [new Date(until), new Date(clock.now)];
  const days = Math.round((midnight(at) - midnight(now)) / 86_400_000);
  if (days === 0) return time(at);
  if (days === 1) return t('tomorrow', { t: time(at) });
  return `${new Intl.DateTimeFormat(locale.language, { day: 'numeric', month: 'short' }).format(at)} ${time(at)}`;
}

/** 2 calls until 17:00 */
export function orderWords(request: MonitoringRequest): string {
  const { limit, used } = request.calls;
  const calls = limit === null ? t('allCalls') : t('callsLeft', { n: Math.max(0, limit - used) });
  return `${calls} ${t('until', { t: untilTime(request.until) })}`;
}

export const initials = (name: string): string => name.split(/\s+/).map((word) => word[0] ?? '').join('').slice(0, 2).toUpperCase();

const midnight = (at: Date): number => new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
