import { expect, test, vi } from 'vitest';
import type { Agent, Listening, MonitoringRequest } from '../api/types';
import { apply, ENDED_MAX, parse, replace, subject, type Lists, type LiveEvent } from './apply';
import { delay } from './backoff';
import { Batch } from './batch';
import { Parser } from './sse';

const lists = (): Lists => ({ agents: new Map(), requests: new Map(), listenings: new Map() });
const agent = (id: string, status = 'ready'): Agent => ({ id, status }) as Agent;
const request = (id: string, ended_at: string | null = null): MonitoringRequest => ({ id, ended_at, state: ended_at ? 'expired' : 'waiting' }) as MonitoringRequest;
const event = (name: string, body: Partial<LiveEvent>): LiveEvent => ({ id: 'e-1', at: '', name, ...body });

test('a stream is read however it is cut', () => {
  const text = ': hello\n\nid: e-1\nevent: agent.status\ndata: {"a":1}\n\nid: e-2\r\nevent: resync\r\ndata: {"b":\r\ndata: 2}\r\n\r\n';
  const want = [{ id: 'e-1', event: 'agent.status', data: '{"a":1}' }, { id: 'e-2', event: 'resync', data: '{"b":\n2}' }];
  expect(new Parser().push(text)).toEqual(want);
  const parser = new Parser();
  expect([...text].flatMap((letter) => parser.push(letter))).toEqual(want);
});

test('what is no JSON is no event', () => {
  expect(parse({ id: '', event: 'agent.status', data: '{' })).toBeNull();
  expect(parse({ id: '', event: 'agent.status', data: '{"id":"e-1","at":"","agent":{"id":"a"}}' })?.name).toBe('agent.status');
});

test('events change the lists', () => {
  const now = lists();
  apply(now, event('agent.status', { agent: agent('a', 'connected') }));
  apply(now, event('request.created', { request: request('r') }));
  apply(now, event('listening.ringing', { listening: { id: 'l', ended_at: null } as Listening }));
  apply(now, event('call.started', {}));
  expect(now.agents.get('a')?.status).toBe('connected');
  expect(now.requests.size).toBe(1);
  expect(now.listenings.size).toBe(1);
  apply(now, event('agent.deleted', { agent: agent('a') }));
  expect(now.agents.size).toBe(0);
});

test('an end is final: a late answer does not bring a request back', () => {
  const now = lists();
  apply(now, event('request.ended', { request: request('r', '2026-11-24T12:00:00Z') }));
  apply(now, event('answer', { request: request('r') }));
  expect(now.requests.get('r')?.ended_at).not.toBeNull();
});

test('the oldest ended ones go', () => {
  const now = lists();
  apply(now, event('request.created', { request: request('live') }));
  for (let n = 0; n < ENDED_MAX + 10; n++) apply(now, event('request.ended', { request: request(`r${n}`, new Date(n * 1000).toISOString()) }));
  expect(now.requests.size).toBe(ENDED_MAX + 1);
  expect(now.requests.has('r9')).toBe(false);
  expect(now.requests.has('live')).toBe(true);
});

test('a list read again drops what ended unseen and keeps what ended here', () => {
  const map = new Map([['gone', request('gone')], ['ended', request('ended', '2026-11-24T12:00:00Z')], ['stays', request('stays')]]);
  replace(map, [request('stays'), request('new')]);
  expect([...map.keys()].sort()).toEqual(['ended', 'new', 'stays']);
});

test('three hundred events of a frame change each thing once', () => {
  let run: (() => void) | null = null;
  const flushed = vi.fn<(items: LiveEvent[]) => void>();
  const batch = new Batch<LiveEvent>(flushed, (work) => {
    run = work;
    return () => (run = null);
  });
  for (let n = 0; n < 300; n++) {
    const one = event('agent.status', { agent: agent(`a${n % 20}`, n >= 280 ? 'connected' : 'ready') });
    batch.add(subject(one) ?? '', one);
  }
  expect(flushed).not.toHaveBeenCalled();
  (run as (() => void) | null)?.();
  expect(flushed).toHaveBeenCalledTimes(1);
  const items = flushed.mock.calls[0]?.[0] ?? [];
  expect(items).toHaveLength(20);
  expect(items.every((item) => item.agent?.status === 'connected')).toBe(true);
  batch.run();
  expect(flushed).toHaveBeenCalledTimes(1);
});

test('waits grow, scatter, and keep to Retry-After', () => {
  expect(delay(0, null, () => 1)).toBe(1);
  expect(delay(3, null, () => 0)).toBe(4);
  expect(delay(3, null, () => 1)).toBe(8);
  expect(delay(50, null, () => 1)).toBe(30);
  expect(delay(0, 20, () => 0)).toBe(20);
  expect(delay(9, 20, () => 1)).toBe(25);
});
