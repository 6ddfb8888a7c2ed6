import { Button, Group, PasswordInput, SimpleGrid, Stack, TextInput } from '@mantine/core';
import { useInputState } from '@mantine/hooks';
import { IconPlugConnected } from '@tabler/icons-react';
import { type FormEvent, useRef } from 'react';
import { useMutation } from 'urql';
import { announceChange } from '../gateway/changes';
import { Connect } from '../gateway/operations';
import { problemOf } from '../gateway/problem';
import { ProblemAlert } from '../shell/ProblemAlert';
import { DemoAccounts } from './DemoAccounts';

/** Takes the OrangeHRM sign-in. Once the gateway has it, the page shows the operation that it began. */
export function ConnectForm({ label }: { label: string }) {
  const [username, setUsername] = useInputState('');
  const [password, setPassword] = useInputState('');
  const [{ fetching, error }, connect] = useMutation(Connect);
  const attempt = useRef<Attempt>(undefined);
  const problem = fetching ? undefined : problemOf(error);
  // The form gives way to the sign-in that is in progress, begun by another tab perhaps.
  const shown = problem?.code === 'OPERATION_IN_PROGRESS' ? undefined : problem;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    attempt.current = sameAttempt(attempt.current, username, password);
    const { idempotencyKey } = attempt.current;
    const { error } = await connect({ input: { username, password, idempotencyKey } });
    if (!error?.networkError) attempt.current = undefined;
    announceChange();
  };

  return (
    <Stack gap="lg">
      <form onSubmit={submit}>
        <Stack>
          {shown && !shown.field && <ProblemAlert problem={shown} />}
          <SimpleGrid cols={{ base: 1, sm: 2 }}>
            <TextInput
              label="OrangeHRM username"
              name="orangehrm-username"
              autoComplete="off"
              autoCapitalize="none"
              spellCheck={false}
              required
              withAsterisk={false}
              value={username}
              onChange={setUsername}
              error={shown?.field === 'username' && shown.message}
            />
            <PasswordInput
              label="OrangeHRM password"
              name="orangehrm-password"
              autoComplete="off"
              required
              withAsterisk={false}
              value={password}
              onChange={setPassword}
              error={shown?.field === 'password' && shown.message}
            />
          </SimpleGrid>
          <Group justify="flex-end">
            <Button type="submit" loading={fetching} leftSection={<IconPlugConnected size={18} />}>
              {label}
            </Button>
          </Group>
        </Stack>
      </form>
      <DemoAccounts
        choose={(account) => {
          setUsername(account.username);
          setPassword(account.password);
        }}
      />
    </Stack>
  );
}

interface Attempt {
  username: string;
  password: string;
  idempotencyKey: string;
}

/** A repeat after a lost answer must not sign in a second time: it goes by the key of the first. */
function sameAttempt(last: Attempt | undefined, username: string, password: string): Attempt {
  if (last?.username === username && last.password === password) return last;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const idempotencyKey = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { username, password, idempotencyKey };
}
