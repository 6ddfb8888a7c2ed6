import { Container, Group, Loader, Paper, Text } from '@mantine/core';
import { useReach } from '../gateway/reach';

/** Shows that the connection is lost, and goes by itself when it is back. */
export function ReachBanner() {
  const reach = useReach();
  const text =
    reach === 'offline'
      ? 'You are offline. This page goes on by itself once you are back.'
      : 'The connection to the gateway is lost. Trying to get it back…';
  return (
    <Container size="md" px="md" role="status" mb={reach === 'fine' ? 0 : 'md'}>
      {reach !== 'fine' && (
        <Paper withBorder px="md" py="sm" bg="var(--mantine-color-orange-light)">
          <Group gap="sm" wrap="nowrap">
            <Loader size="xs" color="orange" />
            <Text fz="sm">{text}</Text>
          </Group>
        </Paper>
      )}
    </Container>
  );
}
