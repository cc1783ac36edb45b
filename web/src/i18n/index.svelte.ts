// Words in four languages. Each area of the page has a file of its own with all four; a key that one of them lacks is a type error,
// and so fails the build (which gives a browser one language only: words.ts). Plurals by Intl.PluralRules, times in the viewer's
// zone by Intl.DateTimeFormat, 24 hours.
import type { admin } from './admin';
import type { core } from './core';
import type { later } from './later';
import type { listen } from './listen';
import type { listening } from './listening';
import type { reasons } from './reasons';
import type { signin } from './signin';

export const LANGUAGES = ['en', 'nb', 'da', 'sv'] as const;
export type Language = (typeof LANGUAGES)[number];
/** A text with {placeholders}, or its plural forms by `n`. */
export type Text = string | { one: string; other: string };
/** What an area file exports: the English keys are the keys. */
export type Words<K extends string> = Record<Language, Record<K, Text>>;
export type Key = keyof typeof core.en | keyof typeof later.en | keyof typeof listen.en | keyof typeof admin.en
  | keyof typeof reasons.en | keyof typeof listening.en | keyof typeof signin.en;

type Load = () => Promise<{ default: Record<string, Text> }>;
const load: Record<Language, [Load, Load]> = {
  en: [() => import('virtual:words/en'), () => import('virtual:words/en-late')],
  nb: [() => import('virtual:words/nb'), () => import('virtual:words/nb-late')],
  da: [() => import('virtual:words/da'), () => import('virtual:words/da-late')],
  sv: [() => import('virtual:words/sv'), () => import('virtual:words/sv-late')],
};

const stored = localStorage.getItem('language');
const spoken = navigator.languages.map((tag) => tag.slice(0, 2).replace(/^n[on]$/, 'nb'));
const isLanguage = (tag: string | null | undefined): tag is Language => LANGUAGES.includes(tag as Language);

class Locale {
  language = $state<Language>(isLanguage(stored) ? stored : (spoken.find(isLanguage) ?? 'en'));
  words = $state.raw<Record<string, Text>>({});
  #late = false;
  /** The words are there: nothing is shown before. */
  readonly ready: Promise<void> = this.#load(this.language);

  choose(language: Language): void {
    localStorage.setItem('language', language);
    void this.#load(language);
  }

  /** The words of what is not in the first load; to be waited for beside it. */
  async late(): Promise<void> {
    if (this.#late) return;
    this.#late = true;
    await this.#load(this.language).catch((error: unknown) => {
      this.#late = false;
      throw error;
    });
  }

  async #load(language: Language): Promise<void> {
    const parts = await Promise.all(load[language].filter((_, index) => index === 0 || this.#late).map((part) => part()));
    [this.language, this.words] = [language, Object.assign({}, ...parts.map((part) => part.default)) as Record<string, Text>];
    document.documentElement.lang = language;
  }
}
export const locale = new Locale();

/** A text in the chosen language; reactive where it is called from a template or `$derived`. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const text = locale.words[key] ?? '';
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
  const day = new Intl.DateTimeFormat(locale.language === 'en' ? 'en-GB' : locale.language, { day: 'numeric', month: 'short', year: 'numeric' });
  return `${day.format(new Date(at))}, ${time(at, true)}`;
}

/** 1:02:03 or 2:03. */
export function duration(milliseconds: number): string {
  const all = Math.max(0, Math.floor(milliseconds / 1000));
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, String(all % 60).padStart(2, '0')];
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${seconds}` : `${minutes}:${seconds}`;
}
