import { Alert, Badge, Card, Group, Loader, Stack, Text, Title } from '@mantine/core';
import { IconPlugConnectedX } from '@tabler/icons-react';
import { useCallback, useEffect, useState } from 'react';
import { ClaimsCard } from '../claims/ClaimsCard';
import { useChanges } from '../gateway/changes';
import { ConnectionState } from '../gateway/operations';
import { useRemote } from '../gateway/useRemote';
import { useAnnouncement } from '../shell/Announcer';
import { ProblemAlert } from '../shell/ProblemAlert';
import { useFocusOnArrival } from '../shell/useFocusOnArrival';
import { ConnectForm } from './ConnectForm';
import { DisconnectButton } from './DisconnectButton';

const LOOK_AGAIN_MS = 2_000;

interface Props {
  connectedAt: string;
  /** Called when there is no connection any more, or no session. */
  onGone: () => void;
}

export function ConnectedView({ connectedAt, onGone }: Props) {
  const [{ data, problem }, refresh] = useRemote(ConnectionState);
  const look = useCallback(() => void refresh(), [refresh]);
  useChanges(look);
  const isGone = data !== undefined && !data.me?.connection;
  useEffect(() => {
    if (isGone) onGone();
  }, [isGone, onGone]);
  const heard = data?.me?.connection?.status ?? undefined;
  const [known, setKnown] = useState(heard);
  if (heard && heard !== known) setKnown(heard);
  // That Intuned cannot be asked is no reason to take the claims away: to read them again is another run.
  const status = heard ?? (problem && known);
  useEffect(() => {
    if (status !== 'PENDING') return undefined;
    const timer = setInterval(look, LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [status, look]);
  const heading = useFocusOnArrival<HTMLHeadingElement>();
  useAnnouncement(status && SAYS[status].announcement);

  return (
    <>
      <Card withBorder shadow="sm" radius="lg" padding="lg">
        <Stack>
          <Group justify="space-between" gap="sm">
            <div>
              <Group gap="sm">
                <Title order={1} fz={22} ref={heading} tabIndex={-1}>
                  OrangeHRM
                </Title>
                {status ? (
                  <Badge variant="light" color={SAYS[status].color}>
                    {SAYS[status].badge}
                  </Badge>
                ) : (
                  !problem && <Loader size="xs" aria-label="Looking at the connection" role="status" />
                )}
              </Group>
              <Text fz="sm" c="dimmed">
                Connected {AT.format(new Date(connectedAt))}
              </Text>
            </div>
            <DisconnectButton />
          </Group>
          {problem && <ProblemAlert problem={problem} retry={look} />}
          {status === 'PENDING' && <Text>Intuned is preparing the connection. This takes a moment.</Text>}
        </Stack>
      </Card>
      {status === 'EXPIRED' && <Reconnect />}
      {status === 'READY' && <ClaimsCard onExpired={look} onGone={onGone} />}
    </>
  );
}

function Reconnect() {
  return (
    <Card withBorder shadow="sm" radius="lg" padding="lg">
      <Stack>
        <Title order={2} fz="lg">
          Connect again
        </Title>
        <Alert color="orange" icon={<IconPlugConnectedX />}>
          OrangeHRM has ended the session, so your claims cannot be read. Sign in once more to go on.
        </Alert>
        <ConnectForm label="Reconnect" />
      </Stack>
    </Card>
  );
}

const SAYS = {
  PENDING: { color: 'blue', badge: 'Preparing', announcement: 'The connection is being prepared.' },
  READY: { color: 'teal', badge: 'Connected', announcement: 'Connected to OrangeHRM.' },
  EXPIRED: { color: 'orange', badge: 'Expired', announcement: 'The connection has expired. Connect again.' },
};

const AT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
