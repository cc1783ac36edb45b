import { beforeAll, expect, test, vi } from 'vitest';

let words: typeof import('./index.svelte');

beforeAll(async () => {
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => {} });
  vi.stubGlobal('navigator', { languages: ['no-NO', 'en'] });
  vi.stubGlobal('document', { documentElement: {} });
  words = await import('./index.svelte');
  await words.locale.ready;
});

test('a browser that speaks Norwegian gets bokmål', () => expect(words.locale.language).toBe('nb'));

test('durations', () => {
  expect(words.duration(0)).toBe('0:00');
  expect(words.duration(-5000)).toBe('0:00');
  expect(words.duration(59_999)).toBe('0:59');
  expect(words.duration(61_000)).toBe('1:01');
  expect(words.duration(3_600_000 + 62_000)).toBe('1:01:02');
});

test('times have 24 hours and colons in every language', () => {
  const at = new Date(2026, 10, 24, 17, 5, 9);
  for (const language of words.LANGUAGES) {
    words.locale.language = language;
    expect(words.time(at)).toBe('17:05');
    expect(words.time(at, true)).toBe('17:05:09');
    expect(words.time(new Date(2026, 10, 24, 0, 5))).toBe('00:05');
  }
});

test('plurals and placeholders; words that come later', { timeout: 20_000 }, async () => {
  words.locale.choose('en');
  await vi.waitFor(() => expect(words.t('callsLeft', { n: 1 })).toBe('1 call'), { timeout: 10_000 });
  expect(words.t('callsLeft', { n: 2 })).toBe('2 calls');
  expect(words.t('until', { t: '<b>' })).toBe('until <b>');
  expect(words.t('submit')).toBe('');
  await words.locale.late();
  expect(words.t('submit')).toBe('Order listening');
});
