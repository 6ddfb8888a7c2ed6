import { Card, Code, Group, SimpleGrid, Stack, Table, Text } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { IconReceiptOff } from '@tabler/icons-react';
import { type Column, type Json, type Kind, type Row, isRow, labelOf, listing } from './columns';
import { printed } from './digits';
import { Anything, Value } from './Value';

/** Claims in whatever shape they come. */
export function ClaimsData({ claims }: { claims: Json }) {
  const isPhone = useMediaQuery('(max-width: 40em)');
  const found = listing(claims);
  if (claims === null || (found && found.rows.length === 0)) {
    return (
      <Stack>
        <Empty />
        {found && <Fields row={found.rest} />}
      </Stack>
    );
  }
  if (found) {
    return (
      <Stack>
        <Fields row={found.rest} />
        {isPhone ? <List {...found} /> : <Rows {...found} />}
      </Stack>
    );
  }
  if (isRow(claims)) return <Fields row={claims} />;
  if (typeof claims !== 'object') return <Anything value={claims} />;
  return <Code block>{printed(claims)}</Code>;
}

function Empty() {
  return (
    <Stack align="center" gap="xs" py="xl">
      <IconReceiptOff size={40} stroke={1.5} aria-hidden />
      <Text fw={600}>No claims yet</Text>
      <Text c="dimmed" fz="sm" ta="center">
        Claims that you submit in OrangeHRM show here after a refresh.
      </Text>
    </Stack>
  );
}

interface Data {
  rows: Row[];
  columns: Column[];
}

const alignmentOf = (kind: Kind) => (kind === 'money' || kind === 'number' ? 'right' : 'left');

function Rows({ rows, columns }: Data) {
  return (
    <Table.ScrollContainer minWidth={columns.length * 110} type="native" tabIndex={0} role="region" aria-label="Claims table">
      <Table verticalSpacing="sm" highlightOnHover className="claims-values">
        <Table.Thead>
          <Table.Tr>
            {columns.map(({ key, label, kind }) => (
              <Table.Th key={key} scope="col" ta={alignmentOf(kind)} c="dimmed" fz="xs">
                {label}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row, index) => (
            <Table.Tr key={index}>
              {columns.map(({ key, kind }) => (
                <Table.Td key={key} ta={alignmentOf(kind)} style={wrapping(kind)}>
                  <Value value={row[key]} kind={kind} row={row} />
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

const wrapping = (kind: Kind) =>
  kind === 'text' || kind === 'other' ? undefined : ({ whiteSpace: 'nowrap' } as const);

/** The same on a phone: a card for each claim. */
function List({ rows, columns }: Data) {
  return (
    <Stack component="ul" aria-label="Claims" p={0} m={0} gap="sm" className="claims-values" style={{ listStyle: 'none' }}>
      {rows.map((row, index) => (
        <Card key={index} component="li" withBorder padding="md">
          <Stack component="dl" gap={6} m={0}>
            {columns.map(({ key, label, kind }) => (
              <Group key={key} justify="space-between" align="baseline" wrap="nowrap" gap="md">
                <Text component="dt" fz="xs" c="dimmed">
                  {label}
                </Text>
                <Text component="dd" m={0} fz="sm" ta="right">
                  <Value value={row[key]} kind={kind} row={row} />
                </Text>
              </Group>
            ))}
          </Stack>
        </Card>
      ))}
    </Stack>
  );
}

/** Names and values, one below the other. */
function Fields({ row }: { row: Row }) {
  const entries = Object.entries(row);
  if (entries.length === 0) return null;
  return (
    <SimpleGrid component="dl" m={0} cols={{ base: 1, sm: 2 }} spacing="sm">
      {entries.map(([key, value]) => (
        <div key={key}>
          <Text component="dt" fz="xs" c="dimmed">
            {labelOf(key)}
          </Text>
          <Text component="dd" m={0} fz="sm">
            <Anything value={value} />
          </Text>
        </div>
      ))}
    </SimpleGrid>
  );
}
