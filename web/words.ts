// Splits the words by language when the page is built. An area's file (src/i18n/*.ts) has all four languages side by side, where a
// missing key is a type error; a browser loads one language: `import('virtual:words/nb')`, and `virtual:words/nb-late` when it needs
// a view or a form that is not in the first load.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import type { Plugin } from 'vite';

const PREFIX = 'virtual:words/';
const FOLDER = join(import.meta.dirname, 'src/i18n');
type Area = Record<string, Record<string, unknown> | undefined>;

/** The areas of the first load; every other file of words is late. */
const FIRST = ['core.ts', 'listen.ts', 'signin.ts'];
const files = (late: boolean): string[] =>
  readdirSync(FOLDER).filter((name) => /^[a-z-]+\.ts$/.test(name) && FIRST.includes(name) !== late).map((name) => join(FOLDER, name));

async function areas(file: string): Promise<Area[]> {
  const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  const module = (await import(`data:text/javascript;base64,${Buffer.from(outputText).toString('base64')}`)) as Record<string, Area>;
  return Object.values(module).filter((area) => area.en !== undefined);
}

export function words(): Plugin {
  return {
    name: 'words',
    resolveId: (id) => (id.startsWith(PREFIX) ? `\0${id}` : null),
    async load(id) {
      if (!id.startsWith(`\0${PREFIX}`)) return null;
      const [language = '', late] = id.slice(PREFIX.length + 1).split('-');
      const all = (await Promise.all(files(late !== undefined).map(areas))).flat();
      files(late !== undefined).forEach((file) => this.addWatchFile(file));
      return `export default ${JSON.stringify(Object.assign({}, ...all.map((area) => area[language])))};`;
    },
  };
}
