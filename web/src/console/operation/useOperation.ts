import { useSubscription } from 'urql';
import type { FollowOperationSubscription } from '../../gql/graphql';
import { FollowOperation } from '../gateway/operations';
import { problemOf } from '../gateway/problem';

export type OperationEvent = FollowOperationSubscription['operationStatus'];

export type InfoRequest = NonNullable<OperationEvent['operation']['infoRequest']>;

/** An operation as far as it has got. */
export interface Course {
  /** Every change so far, by its number. */
  changes: OperationEvent[];
  /** Every question that this page has seen. */
  questions: InfoRequest[];
  /** What was told last: a change, or a poll that changed nothing. */
  latest: OperationEvent;
  /** When that came, by this page's clock. */
  at: number;
}

/** Follows an operation from its first change on, whether or not the page was there when it happened. */
export function useOperation(operationId: string) {
  const [{ data, error }, follow] = useSubscription(
    {
      query: FollowOperation,
      // Whenever the socket comes back all changes are told again, and those that are known are left out.
      variables: { operationId, afterSequence: 0 },
    },
    (course: Course | undefined, { operationStatus }: FollowOperationSubscription) =>
      advance(course, operationStatus),
  );
  return { course: data, problem: problemOf(error), follow };
}

function advance(course: Course | undefined, event: OperationEvent): Course {
  const { changes = [], questions = [] } = course ?? {};
  const last = changes.at(-1)?.sequence ?? 0;
  if (course && event.sequence < last) return course;
  const isNews = event.kind === 'CHANGE' && event.sequence > last;
  const question = event.operation.infoRequest;
  const isNewQuestion = question && question.id !== questions.at(-1)?.id;
  return {
    changes: isNews ? [...changes, event] : changes,
    questions: isNewQuestion ? [...questions, question] : questions,
    latest: event,
    at: performance.now(),
  };
}

/** Whether the last question is the one before it once more: its answer was not the right one, then. */
export function isAskedAgain({ questions }: Course) {
  const [before, now] = questions.slice(-2);
  return now !== undefined && before?.message === now.message;
}

export const hasEnded = ({ status }: OperationEvent) =>
  status === 'DONE' || status === 'FAILED' || status === 'CANCELED';
