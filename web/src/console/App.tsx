import { Container, Loader, Center, Stack } from '@mantine/core';
import { useCallback, useEffect, useState } from 'react';
import { AccountPage } from './account/AccountPage';
import { Home } from './connection/Home';
import { useChanges } from './gateway/changes';
import { Me } from './gateway/operations';
import { FactsContext, useLoadedFacts } from './gateway/useFacts';
import { useRemote } from './gateway/useRemote';
import { Announcer } from './shell/Announcer';
import { Header } from './shell/Header';
import { ProblemAlert } from './shell/ProblemAlert';
import { ReachBanner } from './shell/ReachBanner';

export function App() {
  const facts = useLoadedFacts();
  const [{ data, problem }, refresh] = useRemote(Me);
  useChanges(useCallback(() => void refresh(), [refresh]));
  const me = data?.me;
  const wasSignedOut = useWasSignedOut(me === undefined ? undefined : me !== null);

  return (
    <FactsContext value={facts}>
      <Announcer>
        <Header email={me?.email} />
        <ReachBanner />
        <Container component="main" size="md" px="md" pb="xl">
          <Stack gap="lg">
            {problem && <ProblemAlert problem={problem} retry={refresh} />}
            {data === undefined ? (
              !problem && (
                <Center mt="20vh">
                  <Loader aria-label="Loading" role="status" />
                </Center>
              )
            ) : me ? (
              <Home key={me.id} me={me} refresh={refresh} />
            ) : (
              <AccountPage sessionEnded={wasSignedOut} />
            )}
          </Stack>
        </Container>
      </Announcer>
    </FactsContext>
  );
}

/** Whether somebody was signed in on this page before. */
function useWasSignedOut(signedIn: boolean | undefined) {
  const [was, setWas] = useState(false);
  useEffect(() => {
    if (signedIn) setWas(true);
  }, [signedIn]);
  return was && signedIn === false;
}
