import { Alert, Button, Group, Paper, Radio, Stack, Text, TextInput } from '@mantine/core';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { useMutation } from 'urql';
import { noteChange } from '../gateway/changes';
import { Answer } from '../gateway/operations';
import { problemOf } from '../gateway/problem';
import { ProblemAlert } from '../shell/ProblemAlert';
import type { InfoRequest } from './useOperation';

interface Props {
  operationId: string;
  request: InfoRequest;
  isRepeat: boolean;
}

/** Asks what the sign-in wants to know, in Intuned's words. For another request it is made anew. */
export function InfoRequestForm({ operationId, request, isRepeat }: Props) {
  const [input, setInput] = useState('');
  const [answered, setAnswered] = useState(false);
  const [{ fetching, error }, answer] = useMutation(Answer);

  // The answer is on its way until something else is asked, or nothing is.
  const isWaiting = fetching || answered;
  const problem = fetching ? undefined : problemOf(error);
  // Then another tab has answered, and what comes next is about to show.
  const shown = problem?.code === 'INFO_REQUEST_STALE' || isWaiting ? undefined : problem;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const { error } = await answer({ input: { operationId, infoRequestId: request.id, input: input.trim() } });
    if (error) noteChange();
    else setAnswered(true);
  };

  return (
    <Paper withBorder p="lg" component="section" aria-label="Your answer is needed">
      <form onSubmit={submit}>
        <Stack>
          {shown && <ProblemAlert problem={shown} />}
          {isRepeat && !isWaiting && (
            <Alert color="orange" role="alert">
              You are asked again: the last answer was not accepted.
            </Alert>
          )}
          {request.__typename === 'ChoiceRequest' ? (
            <Choices request={request} value={input} onChange={setInput} disabled={isWaiting} />
          ) : (
            <Passcode message={request.message} value={input} onChange={setInput} disabled={isWaiting} />
          )}
          <Group justify="space-between">
            <Text fz="sm" c="dimmed">
              {isWaiting ? 'Passing your answer on…' : 'The sign-in waits for you.'}
            </Text>
            <Button type="submit" loading={isWaiting} disabled={input.trim() === ''}>
              Continue
            </Button>
          </Group>
        </Stack>
      </form>
    </Paper>
  );
}

interface FieldProps {
  value: string;
  onChange: (value: string) => void;
  disabled: boolean;
}

function Passcode({ message, value, onChange, disabled }: FieldProps & { message: string }) {
  const field = useFocus<HTMLInputElement>();
  return (
    <TextInput
      ref={field}
      label={message}
      name="passcode"
      size="md"
      autoComplete="one-time-code"
      inputMode="numeric"
      required
      withAsterisk={false}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      disabled={disabled}
    />
  );
}

type ChoiceRequest = Extract<InfoRequest, { __typename: 'ChoiceRequest' }>;

function Choices({ request, value, onChange, disabled }: FieldProps & { request: ChoiceRequest }) {
  const first = useFocus<HTMLInputElement>();
  return (
    <Radio.Group label={request.message} size="md" value={value} onChange={onChange}>
      <Stack gap="xs" mt="sm">
        {request.choices.map((choice, index) => (
          <Radio
            key={choice}
            ref={index === 0 ? first : undefined}
            value={choice}
            label={choice}
            disabled={disabled}
          />
        ))}
      </Stack>
    </Radio.Group>
  );
}

/** Whoever is asked something can answer at once. */
function useFocus<E extends HTMLElement>() {
  const element = useRef<E>(null);
  useEffect(() => element.current?.focus(), []);
  return element;
}
