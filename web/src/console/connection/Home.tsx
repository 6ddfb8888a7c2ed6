import { Stack } from '@mantine/core';
import { useCallback, useEffect, useState } from 'react';
import type { MeQuery } from '../../gql/graphql';
import { OperationCard } from '../operation/OperationCard';
import { ConnectCard } from './ConnectCard';
import { ConnectedView } from './ConnectedView';

export type User = NonNullable<MeQuery['me']>;

/** What a signed-in user sees: a sign-in in progress, or what came of it, or the connection, or how to get one. */
export function Home({ me, refresh }: { me: User; refresh: () => Promise<void> }) {
  const { connection, activeOperation } = me;
  const [followed, setFollowed] = useState(activeOperation?.id);
  const activeId = activeOperation?.id;
  useEffect(() => {
    if (activeId) setFollowed(activeId);
  }, [activeId]);
  const leave = useCallback(() => setFollowed(undefined), []);
  const done = useCallback(async () => {
    await refresh();
    leave();
  }, [refresh, leave]);

  return (
    <Stack gap="lg">
      {followed ? (
        <OperationCard key={followed} operationId={followed} done={done} leave={leave} />
      ) : connection ? (
        <ConnectedView
          key={connection.connectedAt}
          connectedAt={connection.connectedAt}
          onGone={refresh}
        />
      ) : (
        <ConnectCard />
      )}
    </Stack>
  );
}
