import { Alert, Button, Group } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import type { Problem } from '../gateway/problem';

/** Says what went wrong and, where trying again may help, offers it. */
export function ProblemAlert({ problem, retry }: { problem: Problem; retry?: () => void }) {
  return (
    <Alert color="red" role="alert" icon={<IconAlertTriangle />}>
      <Group justify="space-between">
        {problem.message}
        {retry && (
          <Button size="xs" variant="default" onClick={retry}>
            Try again
          </Button>
        )}
      </Group>
    </Alert>
  );
}
