// Words in four languages. Each area of the page has a file of its own with all four; a key that one of them lacks is a type error,
// and so fails the build. Plurals by Intl.PluralRules, times in the viewer's zone by Intl.DateTimeFormat, 24 hours.
import { core } from './core';
import { listen } from './listen';
import { admin } from './admin';

export const LANGUAGES = ['en', 'nb', 'da', 'sv'] as const;
export type Language = (typeof LANGUAGES)[number];
/** A text with {placeholders}, or its plural forms by `n`. */
export type Text = string | { one: string; other: string };
/** What an area file exports: the English keys are the keys. */
export type Words<K extends string> = Record<Language, Record<K, Text>>;

const words = {
  en: { ...core.en, ...listen.en, ...admin.en },
  nb: { ...core.nb, ...listen.nb, ...admin.nb },
  da: { ...core.da, ...listen.da, ...admin.da },
  sv: { ...core.sv, ...listen.sv, ...admin.sv },
};
export type Key = keyof typeof words.en;

const stored = localStorage.getItem('language');
const spoken = navigator.languages.map((tag) => tag.slice(0, 2).replace(/^n[on]$/, 'nb'));
const isLanguage = (tag: string | null | undefined): tag is Language => LANGUAGES.includes(tag as Language);

class Locale {
  language = $state<Language>(isLanguage(stored) ? stored : (spoken.find(isLanguage) ?? 'en'));

  choose(language: Language): void {
    this.language = language;
    localStorage.setItem('language', language);
  }
}
export const locale = new Locale();

/** A text in the chosen language; reactive where it is called from a template or `$derived`. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const text = words[locale.language][key] as Text;
  const form = typeof text === 'string' ? text
    : new Intl.PluralRules(locale.language).select(Number(values.n)) === 'one' ? text.one : text.other;
  return form.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''));
}

/** 14:32, or 14:32:10. */
export function time(at: string | number | Date, seconds = false): string {
  return new Intl.DateTimeFormat(locale.language, {
    hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...(seconds ? { second: '2-digit' } : {}),
  }).format(new Date(at)).replaceAll('.', ':');
}

/** 24 Nov 2026, 14:32. */
export function dateTime(at: string | number | Date): string {
  const day = new Intl.DateTimeFormat(locale.language, { day: 'numeric', month: 'short', year: 'numeric' });
  return `${day.format(new Date(at))}, ${time(at, true)}`;
}

/** 1:02:03 or 2:03. */
export function duration(milliseconds: number): string {
  const all = Math.max(0, Math.floor(milliseconds / 1000));
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, String(all % 60).padStart(2, '0')];
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${seconds}` : `${minutes}:${seconds}`;
}
