// What an archived listening tells: the ladder of its times, and how good it sounded.
import type { Call, Listening, Quality } from '../api/types';
import type { AdminKey } from './words';

export interface Rung {
  key: AdminKey;
  at: string;
  /** Milliseconds since the first rung. */
  after: number;
}

/** The times of a call and of the listening to it, as they followed each other; those that never came are left out. */
export function ladder(listening: Listening, call: Call | null): Rung[] {
  const times: [AdminKey, string | null | undefined][] = [
    ['rung_call', call?.started_at],
    ['rung_call_up', call?.answered_at],
    ['rung_called', listening.ringing_at],
    ['rung_heard', listening.answered_at],
    ['rung_ended', listening.ended_at],
    ['rung_call_end', call?.ended_at],
  ];
  const came = times.flatMap(([key, at], order) => (at ? [{ key, at, order, ms: Date.parse(at) }] : []));
  came.sort((a, b) => a.ms - b.ms || a.order - b.order);
  const first = came[0]?.ms ?? 0;
  return came.map(({ key, at, ms }) => ({ key, at, after: ms - first }));
}

export const began = (listening: Listening): string | null => listening.ringing_at ?? listening.answered_at ?? listening.ended_at;

export type Grade = 'good' | 'fair' | 'poor';

/** By what the ear notices: speech that was made up, packets lost on the way to the listener, jitter beyond a buffer. */
export function grade(quality: Quality | null, heard: number): Grade | null {
  if (!quality || heard <= 0) return null;
  const made = quality.concealed_ms / heard;
  const lost = quality.remote_lost ?? 0;
  const jitter = Math.max(quality.jitter_ms, quality.remote_jitter_ms ?? 0);
  if (made > 0.05 || lost > 0.05 || jitter > 80) return 'poor';
  return made > 0.01 || lost > 0.01 || jitter > 30 ? 'fair' : 'good';
}

/** Who listened, as a filter of the archive takes it. */
export const listenerId = (listening: Listening): string =>
  listening.listener.user ?? listening.listener.agent ?? listening.listener.number ?? '';
