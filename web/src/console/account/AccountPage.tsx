import {
  Alert,
  Button,
  Paper,
  PasswordInput,
  SegmentedControl,
  Stack,
  Text,
  TextInput,
  Title,
} from '@mantine/core';
import { useInputState } from '@mantine/hooks';
import { type FormEvent, useState } from 'react';
import { useMutation } from 'urql';
import { announceChange } from '../gateway/changes';
import { SignIn, SignUp } from '../gateway/operations';
import { problemOf } from '../gateway/problem';
import { ProblemAlert } from '../shell/ProblemAlert';

type Mode = 'in' | 'up';

export function AccountPage({ sessionEnded }: { sessionEnded: boolean }) {
  const [mode, setMode] = useState<Mode>('in');
  return (
    <Stack maw={420} w="100%" mx="auto" mt={{ base: 'md', sm: '6vh' }} gap="lg">
      <Stack gap={4} ta="center">
        <Title order={1} fz={28}>
          Your OrangeHRM claims
        </Title>
        <Text c="dimmed" style={{ textWrap: 'balance' }}>Connect your account once, watch it happen, read your claims.</Text>
      </Stack>
      {sessionEnded && <Alert color="blue">You are signed out.</Alert>}
      <Paper withBorder shadow="sm" p={{ base: 'md', sm: 'xl' }} radius="lg">
        <Stack>
          <SegmentedControl
            fullWidth
            aria-label="What to do"
            value={mode}
            onChange={(value) => setMode(value as Mode)}
            data={[
              { value: 'in', label: 'Sign in' },
              { value: 'up', label: 'Create account' },
            ]}
          />
          <AccountForm key={mode} mode={mode} />
        </Stack>
      </Paper>
    </Stack>
  );
}

function AccountForm({ mode }: { mode: Mode }) {
  const [email, setEmail] = useInputState('');
  const [password, setPassword] = useInputState('');
  const [signedIn, signIn] = useMutation(SignIn);
  const [signedUp, signUp] = useMutation(SignUp);
  const isNew = mode === 'up';
  const { fetching, error } = isNew ? signedUp : signedIn;
  const problem = fetching ? undefined : problemOf(error);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    await (isNew ? signUp : signIn)({ input: { email, password } });
    announceChange();
  };

  return (
    <form onSubmit={submit}>
      <Stack>
        {problem && !problem.field && <ProblemAlert problem={problem} />}
        <TextInput
          label="Email"
          type="email"
          name="email"
          autoComplete="username"
          required
          withAsterisk={false}
          value={email}
          onChange={setEmail}
          error={problem?.field === 'email' && problem.message}
        />
        <PasswordInput
          label="Password"
          name="password"
          description={isNew ? '8 characters or more' : undefined}
          autoComplete={isNew ? 'new-password' : 'current-password'}
          required
          withAsterisk={false}
          minLength={isNew ? 8 : undefined}
          maxLength={128}
          value={password}
          onChange={setPassword}
          error={problem?.field === 'password' && problem.message}
        />
        <Button type="submit" loading={fetching} fullWidth mt="xs">
          {isNew ? 'Create account' : 'Sign in'}
        </Button>
      </Stack>
    </form>
  );
}
