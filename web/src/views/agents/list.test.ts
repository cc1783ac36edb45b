import { expect, test } from 'vitest';
import type { Agent, AgentStatus } from '../../api/types';
import { arrange, groupsOf, type Filter } from './list';

const collator = new Intl.Collator('nb');
const agent = (id: string, name: string, status: AgentStatus, since: number, more: Partial<Agent> = {}): Agent => ({
  id, name, number: '+46 8 465', group: null, skills: [], status, status_since: new Date(since).toISOString(), registered: true, monitorable: true, calls: [], ...more,
});
const agents = [
  agent('1', 'Åse', 'ready', 5000, { group: 'Sales', skills: ['Danish'] }), agent('2', 'Anna', 'connected', 9000, { number: '+47 22 33' }),
  agent('3', 'Bo', 'connected', 1000), agent('4', 'Zoe', 'logged-off', 10), agent('5', 'Eva', 'connecting', 9500, { group: 'Support' }),
];
const none: Filter = { text: '', group: '', inCall: false };
const ids = (filter: Partial<Filter>, key: 'name' | 'status' | 'duration' = 'status', down = false) => arrange(agents, { ...none, ...filter }, { key, down }, collator).join('');

test('in a call first, the longest at the top; logged off last', () => expect(ids({})).toBe('32514'));
test('by name as the language sorts it', () => {
  expect(ids({}, 'name')).toBe('23541');
  expect(ids({}, 'name', true)).toBe('14532');
});
test('by duration', () => expect(ids({}, 'duration', true)).toBe('43125'));
test('filters', () => {
  expect(ids({ inCall: true })).toBe('32');
  expect(ids({ group: 'Sales' })).toBe('1');
  expect(ids({ text: 'dan' })).toBe('1');
  expect(ids({ text: '2233' })).toBe('2');
  expect(ids({ text: 'åse danish' })).toBe('1');
  expect(ids({ text: 'nobody' })).toBe('');
});
test('groups', () => expect(groupsOf(agents, collator)).toEqual(['Sales', 'Support']));
