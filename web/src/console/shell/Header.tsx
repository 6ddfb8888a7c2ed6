import {
  ActionIcon,
  Anchor,
  Badge,
  Button,
  Container,
  Group,
  Image,
  Text,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { IconMoon, IconSun } from '@tabler/icons-react';
import { useMutation } from 'urql';
import { announceChange } from '../gateway/changes';
import { SignOut } from '../gateway/operations';
import { useFacts } from '../gateway/useFacts';
import mark from './mark.svg';

export function Header({ email }: { email?: string }) {
  const { graphiql, demoAccounts } = useFacts();
  return (
    <Container component="header" size="md" px="md" py="md" mb={{ base: 'xs', sm: 'lg' }}>
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Group gap="sm" wrap="nowrap">
          <Image src={mark} alt="" w={32} h={32} />
          <Text fw={650} fz="lg" visibleFrom="xs">
            Intuned Gateway
          </Text>
          {demoAccounts.length > 0 && (
            <Badge variant="light" color="orange" style={{ flexShrink: 0 }} title="Nothing here is real: Intuned is simulated">
              Demo
            </Badge>
          )}
        </Group>
        <Group gap="xs" wrap="nowrap">
          {graphiql && (
            <Anchor href="/graphiql" fz="sm" px={{ base: 4, sm: 'xs' }}>
              GraphiQL
            </Anchor>
          )}
          <ColorSchemeButton />
          {email && <Account email={email} />}
        </Group>
      </Group>
    </Container>
  );
}

function ColorSchemeButton() {
  const { setColorScheme } = useMantineColorScheme();
  const isDark = useComputedColorScheme('light') === 'dark';
  const other = isDark ? 'light' : 'dark';
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label={`Switch to ${other} colors`}
      onClick={() => setColorScheme(other)}
    >
      {isDark ? <IconSun size={20} /> : <IconMoon size={20} />}
    </ActionIcon>
  );
}

function Account({ email }: { email: string }) {
  const [{ fetching }, signOut] = useMutation(SignOut);
  const leave = async () => {
    await signOut({});
    announceChange();
  };
  return (
    <>
      <Text fz="sm" truncate maw={260} visibleFrom="sm" title={email}>
        {email}
      </Text>
      <Button variant="default" style={{ flexShrink: 0 }} loading={fetching} onClick={leave}>
        Sign out
      </Button>
    </>
  );
}
