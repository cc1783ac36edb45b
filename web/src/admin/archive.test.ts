import { expect, test } from 'vitest';
import type { Call, Listening, Quality } from '../api/types';
import { grade, ladder } from './archive';

const at = (second: number) => new Date(Date.UTC(2026, 10, 24, 12, 0, second)).toISOString();
const listening = { ringing_at: at(8), answered_at: at(11), ended_at: at(40) } as Listening;
const call = { started_at: at(0), answered_at: at(5), ended_at: at(40) } as Call;

test('times in the order they came, from the call’s beginning', () => {
  expect(ladder(listening, call).map(({ key, after }) => [key, after / 1000])).toEqual([
    ['rung_call', 0], ['rung_call_up', 5], ['rung_called', 8], ['rung_heard', 11], ['rung_ended', 40], ['rung_call_end', 40],
  ]);
});

test('without the call’s record, and what never came', () => {
  expect(ladder({ ...listening, answered_at: null }, null).map(({ key, after }) => [key, after / 1000])).toEqual([
    ['rung_called', 0], ['rung_ended', 32],
  ]);
});

test('what the ear notices', () => {
  const fine: Quality = {
    first_audio_ms: 18, gaps: 0, lost: 0, concealed_ms: 0, jitter_ms: 1, remote_lost: 0, remote_jitter_ms: 1, round_trip_ms: 12,
  };
  expect(grade(fine, 60_000)).toBe('good');
  expect(grade({ ...fine, concealed_ms: 1200 }, 60_000)).toBe('fair');
  expect(grade({ ...fine, remote_lost: 0.2 }, 60_000)).toBe('poor');
  expect(grade({ ...fine, remote_lost: null, remote_jitter_ms: null, jitter_ms: 90 }, 60_000)).toBe('poor');
  expect(grade(fine, 0)).toBeNull();
  expect(grade(null, 60_000)).toBeNull();
});
