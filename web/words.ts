// Splits the words by language when the page is built. An area's file (src/i18n/*.ts) has all four languages side by side, where a
// missing key is a type error; a browser loads one language: `import('virtual:words/nb')`.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import type { Plugin } from 'vite';

const PREFIX = 'virtual:words/';
const FOLDER = join(import.meta.dirname, 'src/i18n');
type Area = Record<string, Record<string, unknown> | undefined>;

/** Every file of words: what exports an object by language. */
const files = (): string[] => readdirSync(FOLDER).filter((name) => /^[a-z-]+\.ts$/.test(name)).map((name) => join(FOLDER, name));

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
      const language = id.slice(PREFIX.length + 1);
      const all = (await Promise.all(files().map(areas))).flat();
      files().forEach((file) => this.addWatchFile(file));
      return `export default ${JSON.stringify(Object.assign({}, ...all.map((area) => area[language])))};`;
    },
  };
}
