import { Button, Card, Group, Loader, Progress, Stack, Text, Title } from '@mantine/core';
import { useEffect } from 'react';
import { useMutation } from 'urql';
import { announceChange, noteChange } from '../gateway/changes';
import { Cancel } from '../gateway/operations';
import { problemOf } from '../gateway/problem';
import { useAnnouncement } from '../shell/Announcer';
import { ProblemAlert } from '../shell/ProblemAlert';
import { useFocusOnArrival } from '../shell/useFocusOnArrival';
import { ElapsedTime } from './ElapsedTime';
import { FailureView } from './FailureView';
import { InfoRequestForm } from './InfoRequestForm';
import { History } from './History';
import { type Course, hasEnded, isAskedAgain, useOperation } from './useOperation';

interface Props {
  operationId: string;
  /** Called when the account is connected. */
  done: () => void;
  /** Called when there is nothing left to see. */
  leave: () => void;
}

/** A sign-in at OrangeHRM, from its start to its end. */
export function OperationCard({ operationId, done, leave }: Props) {
  const { course, problem, follow } = useOperation(operationId);
  const [canceling, cancel] = useMutation(Cancel);
  const cancelProblem = canceling.fetching ? undefined : problemOf(canceling.error);
  const heading = useFocusOnArrival<HTMLHeadingElement>();
  const latest = course?.latest;
  const status = latest?.status;
  const ended = latest !== undefined && hasEnded(latest);
  useAnnouncement(latest?.operation.infoRequest?.message ?? latest?.message);

  useEffect(() => {
    if (status === 'DONE') done();
    else if (ended) noteChange();
  }, [ended, status, done]);
  useEffect(() => {
    if (problem?.code === 'UNAUTHENTICATED') noteChange();
    if (problem?.code === 'NOT_FOUND') leave();
  }, [problem?.code, leave]);

  const giveUp = async () => {
    await cancel({ operationId });
    announceChange();
  };
  const title = latest?.operation.kind === 'RECONNECT' ? 'Reconnecting OrangeHRM' : 'Connecting OrangeHRM';
  const hasFailed = ended && status !== 'DONE';
  return (
    <Card withBorder shadow="sm" radius="lg" p={{ base: 'md', sm: 'xl' }}>
      <Stack gap="lg">
        <Group justify="space-between" wrap="nowrap">
          <Title order={1} fz={24} ref={heading} tabIndex={-1}>
            {hasFailed ? 'OrangeHRM was not connected' : title}
          </Title>
          {!ended && (
            <Button variant="default" style={{ flexShrink: 0 }} loading={canceling.fetching} onClick={giveUp}>
              Cancel
            </Button>
          )}
        </Group>
        {problem && <ProblemAlert problem={problem} retry={() => follow()} />}
        {cancelProblem && !ended && <ProblemAlert problem={cancelProblem} />}
        {course ? (
          <CourseView course={course} leave={leave} />
        ) : (
          !problem && <Loader aria-label="Loading" role="status" />
        )}
      </Stack>
    </Card>
  );
}

function CourseView({ course, leave }: { course: Course; leave: () => void }) {
  const { latest, changes } = course;
  const { operation } = latest;
  const ended = hasEnded(latest);
  return (
    <>
      {operation.failure ? (
        <FailureView failure={operation.failure} leave={leave} />
      ) : operation.infoRequest ? (
        <InfoRequestForm
          key={operation.infoRequest.id}
          operationId={operation.id}
          request={operation.infoRequest}
          isRepeat={isAskedAgain(course)}
        />
      ) : (
        !ended && (
          <Stack gap="sm">
            <Text fz="lg">{latest.message}</Text>
            <Progress value={100} animated aria-label="Signing in" />
          </Stack>
        )
      )}
      <Stack gap="sm" component="section" aria-label="What has happened">
        <Text fz="sm" c="dimmed" data-testid="effort">
          <ElapsedTime course={course} running={!ended} />
          {' · '}
          {latest.polls === 1 ? 'asked Intuned once' : `asked Intuned ${latest.polls} times`}
        </Text>
        <History changes={changes} running={!ended} />
      </Stack>
    </>
  );
}

