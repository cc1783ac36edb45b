// Days and times as a viewer writes them, in the viewer's zone.

/** The beginning of a day written as 2026-11-24, `later` days on; null if it is no day. */
export function day(text: string, later = 0): Date | null {
  const parts = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text);
  if (!parts) return null;
  const [year, month, date] = [Number(parts[1]), Number(parts[2]), Number(parts[3])];
  const first = new Date(year, month - 1, date);
  if (first.getMonth() !== month - 1 || first.getDate() !== date) return null;
  return new Date(year, month - 1, date + later);
}

/** A query's `from` and `to` (exclusive) for whole days. */
export const days = (from: string, to: string): { from: string | undefined; to: string | undefined } => ({
  from: day(from)?.toISOString(),
  to: day(to, 1)?.toISOString(),
});

/** 17:00, 17.00, 1700 or 7:05 on that day; null if it is no time. */
export function moment(date: string, time: string): Date | null {
  const at = day(date);
  const parts = /^\s*([01]?\d|2[0-3])[:.]?([0-5]\d)\s*$/.exec(time);
  if (!at || !parts) return null;
  at.setHours(Number(parts[1]), Number(parts[2]));
  return at;
}

/** 2026-11-24, for a date field. */
export const dateField = (at: Date): string => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;

/** 17:00, for a time field. */
export const timeField = (at: Date): string => `${two(at.getHours())}:${two(at.getMinutes())}`;

/** 2026-11-24 17:00:05 in the viewer's zone: what every spreadsheet takes for a time. */
export function stamp(text: string | null | undefined): string {
  if (!text) return '';
  const at = new Date(text);
  return `${dateField(at)} ${timeField(at)}:${two(at.getSeconds())}`;
}

export const zone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

const two = (number: number): string => String(number).padStart(2, '0');
