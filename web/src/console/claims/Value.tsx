import { Badge, Code, Text } from '@mantine/core';
import { type Json, type Kind, type Row, currencyOf, isDate, isRow, labelOf } from './columns';
import { digitsOf, printed } from './digits';

// A day without a time is the same day everywhere.
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
  if (kind === 'money') return money(value, row);
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

/** No digit is added but what the currency has by itself, and none is left out. */
function money(value: Json, row: Row) {
  const digits = digitsOf(value) ?? '';
  const currency = currencyOf(row);
  const plain = /^-?\d+(?:\.(\d+))?$/.exec(digits);
  if (!currency || !plain) return <Anything value={value} />;
  const usual = new Intl.NumberFormat(undefined, { style: 'currency', currency }).resolvedOptions();
  const places = Math.max(usual.minimumFractionDigits ?? 0, plain[1]?.length ?? 0);
  const format = new Intl.NumberFormat(undefined, {
    style: 'currency',
    currency,
    minimumFractionDigits: places,
    maximumFractionDigits: places,
  });
  return format.format(digits as `${number}`);
}

/** Any JSON at all, in a form for people as far as that goes. */
export function Anything({ value }: { value: Json }) {
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  if (value === null) return '–';
  if (typeof value === 'string') {
    if (!isDate(value)) return digitsOf(value) ?? value;
    return (value.includes('T') ? MOMENT : DAY).format(new Date(value));
  }
  if (isRow(value) && Object.values(value).every((each) => typeof each !== 'object')) {
    return Object.entries(value)
      .map(([key, each]) => `${labelOf(key)}: ${digitsOf(each) ?? String(each)}`)
      .join(', ');
  }
  if (Array.isArray(value) && value.every((each) => typeof each !== 'object')) {
    return value.map((each) => digitsOf(each) ?? each).join(', ');
  }
  return (
    <Code block fz="xs">
      {printed(value)}
    </Code>
  );
}
