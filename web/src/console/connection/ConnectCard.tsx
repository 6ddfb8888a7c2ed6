import { Card, Stack, Text, Title } from '@mantine/core';
import { useFocusOnArrival } from '../shell/useFocusOnArrival';
import { ConnectForm } from './ConnectForm';

export function ConnectCard() {
  const heading = useFocusOnArrival<HTMLHeadingElement>();
  return (
    <Card withBorder shadow="sm" radius="lg" p={{ base: 'md', sm: 'xl' }}>
      <Stack>
        <div>
          <Title order={1} fz={24} ref={heading} tabIndex={-1}>
            Connect OrangeHRM
          </Title>
          <Text c="dimmed">
            Intuned signs in for you. Your password is passed on once and never stored here.
          </Text>
        </div>
        <ConnectForm label="Connect" />
      </Stack>
    </Card>
  );
}
