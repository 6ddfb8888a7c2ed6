import { Alert, Button, Card, Group, Progress, Stack, Text, Title } from '@mantine/core';
import { IconAlertTriangle, IconRefresh } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { Claims } from '../gateway/operations';
import { useRemote } from '../gateway/useRemote';
import { inWords } from '../operation/ElapsedTime';
import { useAnnouncement } from '../shell/Announcer';
import { ClaimsData } from './ClaimsData';
import type { Json } from './columns';
import { fetchMarked } from './digits';

const TO_THE_DIGIT = { fetch: fetchMarked };

/** The user's claims, read when this shows and when it is refreshed. */
export function ClaimsCard({ onExpired, onGone }: { onExpired: () => void; onGone: () => void }) {
  const [{ data, at, problem, fetching }, refresh] = useRemote(Claims, TO_THE_DIGIT);
  const hasExpired = problem?.code === 'CONNECTION_EXPIRED';
  useEffect(() => {
    if (hasExpired) onExpired();
  }, [hasExpired, onExpired]);
  const connection = data?.me?.connection;
  const isGone = data !== undefined && !connection;
  useEffect(() => {
    if (isGone) onGone();
  }, [isGone, onGone]);
  useAnnouncement(fetching ? 'Reading claims.' : (problem?.message ?? 'Claims have been read.'));

  return (
    <Card withBorder shadow="sm" radius="lg" padding="lg" component="section" aria-label="Claims">
      <Stack>
        <Group justify="space-between" gap="sm">
          <div>
            <Title order={2} fz="lg">
              Claims
            </Title>
            {at && (
              <Text fz="sm" c="dimmed">
                Read at {CLOCK.format(at)}
              </Text>
            )}
          </div>
          <Button
            variant="light"
            leftSection={<IconRefresh size={18} />}
            disabled={fetching}
            onClick={() => void refresh()}
          >
            Refresh
          </Button>
        </Group>
        {fetching && <Reading />}
        {problem && !fetching && (
          <Alert color="red" role="alert" icon={<IconAlertTriangle />}>
            {problem.message}
          </Alert>
        )}
        {connection && (
          <div style={{ opacity: fetching ? 0.55 : 1 }} aria-busy={fetching}>
            <ClaimsData claims={(connection.claims ?? null) as Json} />
          </div>
        )}
      </Stack>
    </Card>
  );
}

/** Shown while Intuned opens a browser and reads, which takes its time. */
function Reading() {
  const [began] = useState(() => performance.now());
  const [now, setNow] = useState(began);
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <Stack gap={6}>
      <Progress value={100} animated aria-label="Reading claims" />
      <Text fz="sm" c="dimmed">
        Intuned is reading your claims in a browser. That can take a minute. {inWords(now - began)}
      </Text>
    </Stack>
  );
}

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
