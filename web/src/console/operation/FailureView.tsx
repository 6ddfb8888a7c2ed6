import { Alert, Button, Code, Group, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconBan } from '@tabler/icons-react';
import type { OperationEvent } from './useOperation';

type Failure = NonNullable<OperationEvent['operation']['failure']>;

/** Why a sign-in came to nothing, and what to do about it. */
export function FailureView({ failure, leave }: { failure: Failure; leave: () => void }) {
  const isWanted = failure.code === 'CANCELED_BY_USER';
  return (
    <Alert
      color={isWanted ? 'gray' : 'red'}
      icon={isWanted ? <IconBan /> : <IconAlertTriangle />}
      title={TITLES[failure.code]}
    >
      <Stack>
        <Text fz="sm">{failure.message}</Text>
        {failure.reference && (
          <Text fz="xs" c="dimmed">
            For Intuned's support: <Code>{failure.reference}</Code>
          </Text>
        )}
        <Group>
          <Button onClick={leave} autoFocus>
            {failure.retryable || isWanted ? 'Try again' : 'Change the sign-in'}
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}

const TITLES: Record<Failure['code'], string> = {
  SIGN_IN_REJECTED: 'OrangeHRM refused the sign-in',
  UPSTREAM_ERROR: 'Intuned could not do it',
  TIMED_OUT: 'It took too long',
  INTERRUPTED: 'The gateway was interrupted',
  CANCELED_BY_USER: 'Canceled',
  CANCELED_UPSTREAM: 'Intuned ended it',
};
