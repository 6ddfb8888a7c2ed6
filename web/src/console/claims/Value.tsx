import { Badge, Code, Text } from '@mantine/core';
import { type Json, type Kind, type Row, currencyOf, isDate, isRow, labelOf } from './columns';

const NUMBER = new Intl.NumberFormat();
const DECIMALS = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

const STATUS_COLORS: Record<string, string> = {
  approved: 'teal',
  paid: 'teal',
  rejected: 'red',
  cancelled: 'gray',
  canceled: 'gray',
  submitted: 'blue',
  pending: 'orange',
};

/** One value of a claim. `row` tells the currency of money. */
export function Value({ value, kind, row }: { value: Json | undefined; kind: Kind; row: Row }) {
  if (value === undefined || value === null || value === '') return <Text span c="dimmed" aria-label="none">–</Text>;
  if (kind === 'money' && typeof value === 'number') return money(value, row);
  if (kind === 'status' && typeof value === 'string') {
    const words = labelOf(value.toLowerCase());
    return (
      <Badge variant="light" color={STATUS_COLORS[value.toLowerCase()] ?? 'gray'} tt="none">
        {words}
      </Badge>
    );
  }
  return <Anything value={value} />;
}

function money(value: number, row: Row) {
  const currency = currencyOf(row);
  if (!currency) return DECIMALS.format(value);
  return new Intl.NumberFormat(undefined, { style: 'currency', currency }).format(value);
}

/** Any JSON at all, in a form for people as far as that goes. */
export function Anything({ value }: { value: Json }) {
  if (typeof value === 'number') return NUMBER.format(value);
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  if (value === null) return '–';
  if (typeof value === 'string') {
    if (!isDate(value)) return value;
    return (value.includes('T') ? MOMENT : DAY).format(new Date(value));
  }
  if (isRow(value) && Object.values(value).every((each) => typeof each !== 'object')) {
    return Object.entries(value)
      .map(([key, each]) => `${labelOf(key)}: ${String(each)}`)
      .join(', ');
  }
  if (Array.isArray(value) && value.every((each) => typeof each !== 'object')) return value.join(', ');
  return (
    <Code block fz="xs">
      {JSON.stringify(value, null, 2)}
    </Code>
  );
}
