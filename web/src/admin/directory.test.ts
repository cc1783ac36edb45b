import { describe, expect, test } from 'vitest';
import type { Agent } from '../api/types';
import { toCsv } from './csv';
import { AT_ONCE, BYTES_AT_ONCE, batches, body, differences, exported, judged, list, read, type Line } from './directory';

const anna = {
  id: 'anna', name: 'Anna Berg', number: '+4755512345', group: 'Support', skills: ['Sales', 'Norwegian'], monitorable: true, status: 'ready',
} as Agent;
const present = new Map([['anna', anna]]);
const lines = (text: string): Line[] => {
  const result = read(text, present);
  if (!('lines' in result)) throw new Error(result.why);
  return result.lines;
};
const why = (text: string) => {
  const result = read(text, present);
  return 'why' in result ? result.why : result.lines.map((line) => line.why?.key ?? null);
};

describe('a file', () => {
  test('new, changed and unchanged agents', () => {
    const read = lines('id;name;number;group;skills;monitorable\nanna;Anna Berg;+47 555 12345;Support;Norwegian, Sales;ja\nper;Per Ås;1002;;;nei\nanna2;A;1');
    expect(read.map(({ id, verdict, changes }) => [id, verdict, changes])).toEqual([
      ['anna', 'same', []], ['per', 'new', ['name', 'number', 'monitorable']], ['anna2', 'new', ['name', 'number']],
    ]);
    expect(lines('id,group\nanna,Sales').map(({ verdict, changes }) => [verdict, changes])).toEqual([['changed', ['group']]]);
  });

  test('what is exported can be imported and changes nothing', () => {
    const evil = { ...anna, id: 'evil', name: '=1+1', number: '004799' } as Agent;
    const agents = [anna, evil];
    const text = toCsv(exported.map(([name]) => name), agents.map((agent) => exported.map(([, cell]) => cell(agent))));
    const result = read(text, new Map(agents.map((agent) => [agent.id, agent])));
    expect('lines' in result && result.lines.map((line) => line.verdict)).toEqual(['same', 'same']);
  });

  test('faults of the file', () => {
    expect(why('')).toBe('imp_empty');
    expect(why('name,number\nA,1')).toBe('imp_no_id');
    expect(why('id,password\na,b')).toBe('imp_column');
    expect(why('id,name,name\na,b,c')).toBe('imp_twice');
  });

  test('faults of a line', () => {
    expect(why('id,name,number\n,A,1\nx y,A,1\nnew,,\nok,A,1\nok,B,2\nlong,A,1,more')).toEqual([
      'imp_id', 'imp_id', 'imp_new_needs', null, 'imp_same_id', 'imp_cells',
    ]);
    expect(why('id,number,monitorable,srtp\nanna,=1,,\nanna2,1,maybe,\nanna3,1,,always')).toEqual(['imp_number', 'imp_truth', 'imp_srtp']);
  });
});

test('skills, however they were parted', () => expect(list('a; b,c |a,,')).toEqual(['a', 'b', 'c']));

test('what changed meanwhile; status is no change', () => {
  expect(differences(anna, { ...anna, status: 'connected' }, 'yes', 'no')).toEqual([]);
  expect(differences(anna, { ...anna, group: null, monitorable: false }, 'yes', 'no')).toEqual([
    { field: 'group', was: 'Support', is: '–' }, { field: 'monitorable', was: 'yes', is: 'no' },
  ]);
});

test('only what differs is sent', () => {
  expect(body({ name: 'Anna Berg', number: '+4755512345', skills: ['Norwegian', 'Sales'], group: null }, anna)).toEqual({ group: null });
  expect(body({ name: 'Per', number: '2' }, null)).toEqual({ name: 'Per', number: '2' });
});

test('an import goes in bodies that the engine takes', () => {
  const line = (id: string, name: string) => ({ id, fields: { name, number: '1' } }) as Line;
  const many = Array.from({ length: 2 * AT_ONCE + 1 }, (_, at) => line(`a${at}`, 'Å'));
  expect(batches(many).map((batch) => batch.length)).toEqual([AT_ONCE, AT_ONCE, 1]);
  const large = Array.from({ length: 9 }, (_, at) => line(`a${at}`, 'Å'.repeat(BYTES_AT_ONCE / 8 - 100)));
  expect(batches(large).map((batch) => batch.length)).toEqual([4, 4, 1]);
  expect(batches([])).toEqual([]);
});

test('what the engine refuses is not sent', () => {
  const [a, b] = lines('id,name,number\nnew1,A,1\nnew2,B,2');
  const after = judged([a, b] as Line[], [{ id: 'new1', status: 201 }, { id: 'new2', status: 422, problem: { code: 'invalid-request', detail: 'taken' } }]);
  expect(after.map(({ verdict, refused }) => [verdict, refused])).toEqual([['new', undefined], ['wrong', 'taken']]);
});
