import { Button, Divider, Group, Stack, Text } from '@mantine/core';
import { type Facts, useFacts } from '../gateway/useFacts';

type Account = Facts['demoAccounts'][number];

/** In demo mode, the accounts that there are to try. */
export function DemoAccounts({ choose }: { choose: (account: Account) => void }) {
  const { demoAccounts } = useFacts();
  if (demoAccounts.length === 0) return null;
  return (
    <Stack gap="xs" component="section" aria-label="Demo accounts">
      <Divider label="Demo accounts to try" labelPosition="left" styles={{ label: { color: 'inherit' } }} />
      <Stack gap={4} component="ul" m={0} p={0} style={{ listStyle: 'none' }}>
        {demoAccounts.map((account) => (
          <Group key={account.username} component="li" gap="sm" wrap="nowrap" align="center">
            <Button
              variant="light"
              size="compact-sm"
              w={104}
              style={{ flexShrink: 0 }}
              onClick={() => choose(account)}
              aria-label={`Fill in ${account.username}`}
            >
              {account.username}
            </Button>
            <Text fz="sm" c="dimmed">
              {account.shows}
            </Text>
          </Group>
        ))}
      </Stack>
    </Stack>
  );
}
