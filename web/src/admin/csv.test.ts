import { describe, expect, test } from 'vitest';
import { bare, field, fileName, parseCsv, toCsv } from './csv';

describe('writing', () => {
  test('RFC 4180: quotes, commas, line ends, a byte order mark', () => {
    expect(toCsv(['a', 'b'], [['x,y', 'say "hi"'], ['two\nlines', '']])).toBe(
      '\uFEFFa,b\r\n"x,y","say ""hi"""\r\n"two\nlines",\r\n',
    );
  });

  test('nothing that begins like a formula stays one', () => {
    for (const evil of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', ' =1', '＝1', '|calc', "=cmd|' /C calc'!A0"]) {
      expect(field(evil).replace(/^"/, '')).toMatch(/^'/);
      expect(field({ phone: evil }).replace(/^"/, '')).toMatch(evil === '+1' ? /^=""\+1""/ : /^'|^\s*'/);
    }
  });

  test('a stranger’s number with anything but digits is text, never a constant', () => {
    expect(field({ phone: '+47"&A1&"' })).toBe('"\'+47""&A1&"""');
    expect(field({ phone: '=HYPERLINK("x")' })).toMatch(/^"'=/);
    expect(field({ phone: '+47 22 33' })).toBe("'+47 22 33");
  });

  test('numbers survive: plus, leading zeros, many digits', () => {
    expect(field({ phone: '+4755512345' })).toBe('"=""+4755512345"""');
    expect(field({ phone: '004755512345' })).toBe('"=""004755512345"""');
    expect(field({ phone: '47555123456789' })).toBe('"=""47555123456789"""');
    expect(field({ phone: '1001' })).toBe('1001');
    expect(field({ phone: null })).toBe('');
  });

  test('numbers and booleans of ours are not strangers', () => {
    expect([field(-3), field(true), field(null), field(undefined)]).toEqual(['-3', 'true', '', '']);
  });

  test('names by the day of the viewer', () => {
    expect(fileName('archive', new Date(2026, 0, 5))).toBe('medlytt-archive-2026-01-05.csv');
  });
});

describe('reading', () => {
  const fields = (text: string) => parseCsv(text).map((row) => row.fields);

  test('quotes, doubled quotes, line ends of all kinds, empty lines', () => {
    expect(fields('a,b\r\n"1,2","x ""y"""\n\n"two\r\nlines",z\rlast,one')).toEqual([
      ['a', 'b'], ['1,2', 'x "y"'], ['two\r\nlines', 'z'], ['last', 'one'],
    ]);
  });

  test('semicolons and tabs, which spreadsheets write in the Nordics', () => {
    expect(fields('id;name\nanna;Berg, Anna')).toEqual([['id', 'name'], ['anna', 'Berg, Anna']]);
    expect(fields('id\tname\nanna\tAnna')).toEqual([['id', 'name'], ['anna', 'Anna']]);
  });

  test('lines are counted as an editor counts them', () => {
    expect(parseCsv('\uFEFFid\n\n"a\nb"\nc').map((row) => row.line)).toEqual([1, 3, 5]);
  });

  test('what was written is read back', () => {
    const cells = ['=1', '+47 22', "'quoted", '-x', 'plain', 'a"b', ' @lead'];
    const phones = ['+4755512345', '0123', '1001', '=evil'];
    const text = toCsv(['h'.repeat(3), 'p'], cells.map((cell, at) => [cell, { phone: phones[at] ?? '' }]));
    const read = fields(text).slice(1).map((row) => row.map(bare));
    expect(read.map(([cell]) => cell)).toEqual(cells);
    expect(read.map(([, phone]) => phone).slice(0, 4)).toEqual(phones);
  });

  test('nothing at all', () => expect(fields('')).toEqual([]));
});
