import { expect, test } from 'vitest';
import type { MonitoringRequest } from '../../api/types';
import { again } from './again';
import { body, digits, faults, firstUntil, minutes, moment, sameListener, type Draft } from './draft';

const NOW = new Date(2026, 10, 24, 14, 32).getTime();
const draft = (change: Partial<Draft> = {}): Draft => ({ who: 'page', user: '', agent: '', number: '', calls: '2', until: '17:00', tomorrow: false, ...change });
const check = (change: Partial<Draft>, trainee: string | null = null) => faults(draft(change), NOW, 'anna', trainee);
const request = (change: Partial<MonitoringRequest>): MonitoringRequest => ({
  id: 'r', ordered_by: 'me', agent: { id: 'anna', name: 'Anna' }, listener: { user: 'me', name: 'Me', kind: 'page' }, calls: { limit: 5, used: 2 }, until: '2026-11-24T17:00:00Z',
  directions: ['inbound'], layout: 'stereo', confirm: false, state: 'waiting', created_at: '', ended_at: null, warnings: [], ...change,
});

test('times as people write them', () => {
  expect(['17:00', '17.00', '1700', '17', ' 7:05 '].map(minutes)).toEqual([1020, 1020, 1020, 1020, 425]);
  expect(['24:00', '17:60', '5pm', '', '17:0'].map(minutes)).toEqual([null, null, null, null, null]);
  expect(moment('8', NOW, true)).toEqual(new Date(2026, 10, 25, 8));
});

test('five in the afternoon, or later when it is late', () => {
  expect(firstUntil(NOW)).toEqual({ until: '17:00', tomorrow: false });
  expect(firstUntil(new Date(2026, 10, 24, 16, 50).getTime())).toEqual({ until: '18:00', tomorrow: false });
  expect(firstUntil(new Date(2026, 10, 24, 23, 20).getTime())).toEqual({ until: '00:30', tomorrow: true });
});

test('what is wrong with an order', () => {
  expect(check({})).toEqual({});
  expect(check({ calls: '' })).toEqual({});
  expect(check({ calls: '0' })).toEqual({ calls: 'eCalls' });
  expect(check({ calls: '1000' })).toEqual({ calls: 'eCalls' });
  expect(check({ until: '14:32' })).toEqual({ until: 'ePassed' });
  expect(check({ until: '14:32', tomorrow: true })).toEqual({});
  expect(check({ until: 'soon' })).toEqual({ until: 'eTime' });
  expect(check({ who: 'user' })).toEqual({ user: 'eUser' });
  expect(check({ who: 'agent' })).toEqual({ agent: 'eAgent' });
  expect(check({ who: 'agent' }, 'anna')).toEqual({ agent: 'eSelf' });
  expect(check({ who: 'agent' }, 'jonas')).toEqual({});
  expect(check({ who: 'number', number: '22 33' })).toEqual({ number: 'eNum' });
  expect(check({ who: 'number', number: '0046 8 465 004 61' })).toEqual({});
});

test('what is sent', () => {
  expect(body(draft(), NOW, 'anna', null, 'me')).toEqual({ agent: 'anna', listener: { page: true }, calls: 2, until: new Date(2026, 10, 24, 17).toISOString(), layout: 'stereo' });
  expect(body(draft({ who: 'number', number: '+46 (8) 465-004.61', calls: '' }), NOW, 'anna', null, 'me')).toEqual({
    agent: 'anna', listener: { number: '+46846500461' }, until: new Date(2026, 10, 24, 17).toISOString(),
  });
  expect(body(draft({ who: 'softphone' }), NOW, 'anna', null, 'me').listener).toEqual({ user: 'me' });
});

test('the same listener for another agent, however it is written', () => {
  const order = (listener: MonitoringRequest['listener'], mine: Partial<Draft>) => sameListener(body(draft(mine), NOW, 'jonas', null, 'me'), [request({ listener })], 'me');
  expect(order({ user: 'me', name: '', kind: 'page' }, {})?.id).toBe('r');
  expect(order({ user: 'other', name: '', kind: 'page' }, {})).toBeNull();
  expect(order({ user: 'me', name: '', kind: 'softphone' }, {})).toBeNull();
  expect(order({ number: '+46846500461', name: '', kind: 'number' }, { who: 'number', number: '0046 8 465 004 61' })?.id).toBe('r');
  expect(sameListener(body(draft(), NOW, 'jonas', null, 'me'), [request({ ended_at: 'x' })], 'me')).toBeNull();
  expect(sameListener(body(draft(), NOW, 'anna', null, 'me'), [request({})], 'me')).toBeNull();
});

test('undo orders what is left', () => {
  expect(again(request({}), 'me')).toEqual({ agent: 'anna', listener: { page: true }, calls: 3, until: '2026-11-24T17:00:00Z', directions: ['inbound'], layout: 'stereo' });
  expect(again(request({ calls: { limit: null, used: 9 } }), 'me')).not.toHaveProperty('calls');
  expect(again(request({ calls: { limit: 2, used: 2 } }), 'me')).toBeNull();
  expect(again(request({}), 'an admin')).toBeNull();
  expect(again(request({ listener: { number: '+47', name: '', kind: 'number' }, confirm: true }), 'me')).toMatchObject({ listener: { number: '+47' }, confirm: true });
});

test('digits', () => expect(digits('0047 (22) 33-44.55/6')).toBe('+4722334455' + '6'));
