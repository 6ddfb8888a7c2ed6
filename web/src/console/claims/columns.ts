// Claims come as the Intuned project returns them, in any shape of JSON. What is shown is found out
// from the data.

import { digitsOf } from './digits';

/** A number is a text here: see `digitsOf`. */
export type Json = null | boolean | string | Json[] | { [key: string]: Json };
export type Row = { [key: string]: Json };

/** What a value is shown as. */
export type Kind = 'text' | 'number' | 'money' | 'date' | 'status' | 'other';

export interface Column {
  key: string;
  label: string;
  kind: Kind;
}

/** A list of things with fields, and what stands beside it. */
export interface Listing {
  rows: Row[];
  columns: Column[];
  /** Fields of the answer around the list. */
  rest: Row;
}

/** The list that the answer is, or has in one of its fields; none when it is no list of things. */
export function listing(json: Json): Listing | undefined {
  if (Array.isArray(json)) return json.every(isRow) ? { rows: json, columns: columnsOf(json), rest: {} } : undefined;
  if (!isRow(json)) return undefined;
  const lists = Object.entries(json).filter(([, value]) => Array.isArray(value) && value.every(isRow));
  const [only] = lists;
  if (!only || lists.length > 1) return undefined;
  const [key, rows] = only as [string, Row[]];
  const rest = Object.fromEntries(Object.entries(json).filter(([other]) => other !== key));
  return { rows, columns: columnsOf(rows), rest };
}

export const isRow = (value: Json): value is Row =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every key of any row: what it is called first, what it comes to last. The order of keys in JSON says nothing. */
function columnsOf(rows: Row[]): Column[] {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const inMoney = rows.length > 0 && rows.every((row) => currencyOf(row) !== undefined);
  return keys
    .filter((key) => !(inMoney && key === currencyKey(rows[0] ?? {})))
    .map((key) => ({ key, label: labelOf(key), kind: kindOf(key, rows.map((row) => row[key] ?? null)) }))
    .sort((a, b) => placeOf(a) - placeOf(b));
}

const PLACES: Kind[] = ['date', 'text', 'other', 'status', 'number', 'money'];

const placeOf = ({ key, kind }: Column) => (/(id|number|reference)$/i.test(key) ? -1 : PLACES.indexOf(kind));

function kindOf(key: string, values: Json[]): Kind {
  const present = values.filter((value) => value !== null && value !== '');
  if (present.length === 0) return 'text';
  if (present.every(isNumber)) return isMoney(key) ? 'money' : 'number';
  if (present.every((value) => typeof value === 'string' && !isNumber(value))) {
    if (present.every(isDate)) return 'date';
    return /^(status|state)$/i.test(key) ? 'status' : 'text';
  }
  return 'other';
}

const isNumber = (value: Json) => digitsOf(value) !== undefined;

/** A total of money is one; what is of a total, or when it was paid, is not. */
const isMoney = (key: string) => /(amount|total|price|cost|sum|balance|paid)$/i.test(key);

const ISO_DATE = /^(\d{4}-\d{2}-\d{2})(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** A day that there is. `Date` makes the 3rd of March of the 31st of February. */
export function isDate(value: Json) {
  const [, day] = (typeof value === 'string' && ISO_DATE.exec(value)) || [];
  if (day === undefined || Number.isNaN(Date.parse(value as string))) return false;
  const read = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(read.getTime()) && read.toISOString().startsWith(day);
}

/** `submittedDate`, `submitted_date` and `submitted-date` alike become "Submitted date". */
export function labelOf(key: string) {
  const words = key
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .replace(/[_-]+/g, ' ')
    .trim()
    .toLowerCase()
    .replace(/\bid\b/g, 'ID')
    .replace(/\burl\b/g, 'URL');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const CODES_BY_NAME = new Map<string, string>();
const names = new Intl.DisplayNames('en', { type: 'currency' });
for (const code of Intl.supportedValuesOf('currency')) {
  CODES_BY_NAME.set((names.of(code) ?? '').toLowerCase(), code);
  CODES_BY_NAME.set(code.toLowerCase(), code);
}
// As OrangeHRM calls them.
CODES_BY_NAME.set('united states dollar', 'USD').set('pound sterling', 'GBP');

const currencyKey = (row: Row) => Object.keys(row).find((key) => /^currency(code)?$/i.test(key));

/** The code of the currency that the row names, where it names one. */
export function currencyOf(row: Row): string | undefined {
  const key = currencyKey(row);
  const named = key === undefined ? undefined : row[key];
  return typeof named === 'string' ? CODES_BY_NAME.get(named.toLowerCase()) : undefined;
}
