// CSV by RFC 4180, written for people who open it in a spreadsheet: UTF-8 with a byte order mark, and no cell that can run as a formula.
// What callers and platforms send (numbers, names, queues) ends up in these cells, so each one is a stranger's text.

/** A cell: text, or a number to dial, which a spreadsheet would otherwise turn into 4.76E+10 or strip of its plus. */
export type Cell = string | number | boolean | null | undefined | { phone: string | null | undefined };

const BOM = '\uFEFF';
/** What a spreadsheet takes for the beginning of a formula, their full-width forms included. */
const FORMULA = /^[\s\0]*[=+\-@＝＋－＠|%]|^[\t\r\n]/;
/** What a spreadsheet keeps as it is although it is a number. */
const SHORT_NUMBER = /^[1-9]\d{0,9}$/;

export function toCsv(header: string[], rows: Cell[][]): string {
  return BOM + [header, ...rows].map((row) => row.map(field).join(',') + '\r\n').join('');
}

/** One field, quoted where RFC 4180 asks for it. */
export function field(cell: Cell): string {
  const text = typeof cell === 'object' && cell !== null ? phone(cell.phone ?? '') : plain(cell);
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** An apostrophe before what could be a formula: the spreadsheet then shows it as text. */
function plain(cell: Exclude<Cell, object>): string {
  if (cell === null || cell === undefined) return '';
  if (typeof cell !== 'string') return String(cell);
  return FORMULA.test(cell) ? `'${cell}` : cell;
}

/** A number of digits alone is the constant ="+47…": it survives in every spreadsheet, and digits cannot run. All else is text. */
function phone(number: string): string {
  if (SHORT_NUMBER.test(number)) return number;
  return /^\+?\d{1,32}$/.test(number) ? `="${number}"` : plain(number);
}

/** What `field` did to a value before it was quoted, undone; for reading back what was exported. */
export function bare(value: string): string {
  const constant = /^="(\+?\d{1,32})"$/.exec(value);
  if (constant?.[1] !== undefined) return constant[1];
  return value.startsWith("'") && FORMULA.test(value.slice(1)) ? value.slice(1) : value;
}

/** Rows of fields; the separator is what the first line uses most of `,` `;` and tab. Empty lines are left out. */
export function parseCsv(source: string): { line: number; fields: string[] }[] {
  const text = source.startsWith(BOM) ? source.slice(1) : source;
  const separator = separatorOf(text);
  const rows: { line: number; fields: string[] }[] = [];
  let [fields, value, quoted, line, begun]: [string[], string, boolean, number, number] = [[], '', false, 1, 1];
  const end = () => {
    fields.push(value);
    if (fields.some((one) => one.trim())) rows.push({ line: begun, fields });
    [fields, value] = [[], ''];
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] as string;
    if (char === '\n') line += 1;
    if (quoted) {
      if (char !== '"') value += char;
      else if (text[at + 1] === '"') [value, at] = [value + '"', at + 1];
      else quoted = false;
    } else if (char === '"' && value === '') quoted = true;
    else if (char === separator) [fields, value] = [[...fields, value], ''];
    else if (char === '\n' || (char === '\r' && text[at + 1] !== '\n')) {
      end();
      begun = line;
    } else if (char !== '\r') value += char;
  }
  end();
  return rows;
}

function separatorOf(text: string): string {
  const first = text.slice(0, text.search(/\r|\n|$/));
  const many = (separator: string) => first.split(separator).length;
  return [',', ';', '\t'].reduce((best, next) => (many(next) > many(best) ? next : best));
}

/** Hands a text to the browser as a file. */
export function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }));
  const link = Object.assign(document.createElement('a'), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** medlytt-archive-2026-11-24.csv */
export const fileName = (what: string, now: Date): string =>
  `medlytt-${what}-${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}.csv`;

const two = (number: number): string => String(number).padStart(2, '0');
