import { describe, expect, it } from 'vitest';
import { core } from './core';
import { listen } from './listen';
import { admin } from './admin';

describe('languages', () => {
  it('have the same placeholders as English', () => {
    const holes = (text: unknown): string => (JSON.stringify(text).match(/\{\w+\}/g) ?? []).sort().join(' ');
    for (const area of [core, listen, admin] as Record<string, Record<string, unknown>>[]) {
      for (const language of ['nb', 'da', 'sv']) {
        for (const [key, text] of Object.entries(area.en ?? {})) {
          expect([...new Set(holes(area[language]?.[key]).split(' '))], `${language} ${key}`).toEqual([...new Set(holes(text).split(' '))]);
        }
      }
    }
  });
});
