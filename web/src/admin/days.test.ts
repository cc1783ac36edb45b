import { expect, test } from 'vitest';
import { dateField, day, days, moment, stamp, timeField } from './days';

test('whole days in the viewer’s zone, the last one included', () => {
  const { from, to } = days('2026-11-24', '2026-11-24');
  expect(new Date(from ?? '')).toEqual(new Date(2026, 10, 24));
  expect(new Date(to ?? '')).toEqual(new Date(2026, 10, 25));
  expect(days('', 'yesterday')).toEqual({ from: undefined, to: undefined });
});

test('no such day', () => expect([day('2026-02-30'), day('2026-13-01'), day('24.11.2026')]).toEqual([null, null, null]));

test('times as people write them', () => {
  const five = new Date(2026, 10, 24, 17, 0);
  for (const text of ['17:00', '17.00', '1700', ' 17:00 ']) expect(moment('2026-11-24', text)).toEqual(five);
  expect(moment('2026-11-24', '7:05')).toEqual(new Date(2026, 10, 24, 7, 5));
  for (const text of ['24:00', '17:60', '5 pm', '']) expect(moment('2026-11-24', text)).toBeNull();
});

test('there and back', () => {
  const at = new Date(2026, 0, 5, 3, 4, 5);
  expect(moment(dateField(at), timeField(at))).toEqual(new Date(2026, 0, 5, 3, 4));
  expect(stamp(at.toISOString())).toBe('2026-01-05 03:04:05');
  expect(stamp(null)).toBe('');
});
