import { expect, test } from 'vitest';

type Text = string | { one: string; other: string };
type Area = Record<'en' | 'nb' | 'da' | 'sv', Record<string, Text>>;
const modules = import.meta.glob<Record<string, unknown>>(['./*.ts', '!./*.svelte.ts', '!./*.test.ts'], { eager: true, import: '*' });
const areas = Object.entries(modules)
  .filter(([path]) => /^\.\/[a-z-]+\.ts$/.test(path))
  .flatMap(([path, module]) => Object.values(module).filter((value): value is Area => typeof value === 'object' && value !== null && 'en' in value).map((area) => [path, area] as const));

const FIRST = import.meta.glob<string>(
  ['../App.svelte', '../ui/{Banner,Crumb,LoadAgain,Problem,Rich,Toast,TopBar,UserMenu,Views}.svelte', '../views/{Home,Requests,Agents,Order,SignIn}.svelte', '../views/listening/Settings.svelte',
    '../views/agents/{Row,Status,Table}.svelte', '../views/requests/{Row,State}.svelte'],
  { eager: true, query: '?raw', import: 'default' },
);

const forms = (text: Text): string[] => (typeof text === 'string' ? [text] : [text.one, text.other]);
const names = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1] ?? '').sort();

test('the four areas are found', () => expect(areas.map(([path]) => path)).toEqual(expect.arrayContaining(['./core.ts', './later.ts', './listen.ts', './admin.ts'])));

test.each(['nb', 'da', 'sv'] as const)('%s has the keys, the forms and the placeholders of English', (language) => {
  for (const [path, area] of areas) {
    expect(Object.keys(area[language]).sort(), path).toEqual(Object.keys(area.en).sort());
    for (const [key, text] of Object.entries(area.en)) {
      const theirs = area[language][key];
      if (theirs === undefined) continue;
      const ours = new Set(forms(text).flatMap(names));
      expect(new Set(forms(theirs).flatMap(names)), `${path} ${key}`).toEqual(ours);
      // A plural's "one" may spell the number out, its "other" may not.
      expect(names(forms(theirs).at(-1) ?? ''), `${path} ${key}`).toEqual(names(forms(text).at(-1) ?? ''));
      for (const form of forms(theirs)) expect(form.trim(), `${path} ${key}`).not.toBe('');
    }
  }
});

test('no key stands in two areas', () => {
  const all = areas.flatMap(([, area]) => Object.keys(area.en));
  expect(all.filter((key, index) => all.indexOf(key) !== index)).toEqual([]);
});

test('a spoken label begins with the word that is seen (WCAG 2.5.3)', () => {
  const pairs = [['listen', 'listenTo'], ['del', 'delOf'], ['ordered', 'orderedShow'], ['arm', 'armOf'], ['edit', 'editOf']] as const;
  for (const words of areas.filter(([path]) => path === './core.ts').flatMap(([, area]) => Object.values(area))) {
    for (const [seen, said] of pairs) expect(words[said], said).toMatch(new RegExp(`^${String(words[seen])}`));
  }
});

test('Danish has the words of the trade', () => {
  const text = JSON.stringify(areas.map(([, area]) => area.da));
  expect(text).toContain('Medlyt');
  expect(text).toContain('henvender');
  expect(text).toContain('adgangsnummer');
  expect(text).not.toMatch(/innringer|uppringare/i);
});

test('what the first load shows has its words in the first load', () => {
  expect(Object.keys(FIRST).length).toBeGreaterThan(15);
  const late = new Set(areas.filter(([path]) => path === './later.ts' || path === './listening.ts').flatMap(([, area]) => Object.keys(area.en)));
  for (const [file, text] of Object.entries(FIRST)) {
    const used = [...text.matchAll(/\bt\('([^']+)'/g)].map((found) => found[1] ?? '');
    expect(used.filter((key) => late.has(key)), file).toEqual([]);
  }
  // the listening card is not shown before its words are there, but for what it says while nothing rings
  for (const key of ['lis.now', 'lis.none', 'lis.noneHint', 'lis.incoming', 'c_unreachable', 'c_unknown']) expect(late.has(key), key).toBe(false);
});
