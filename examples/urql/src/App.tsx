import { type FormEvent, useEffect, useMemo, useState } from 'react';
import { Provider, useMutation, useQuery, useSubscription } from 'urql';
import { createUrqlClient } from './client';
import type { OperationStatusSubscription } from './gql/graphql';
import { ANSWER, CLAIMS, CONNECT, ME, OPERATION_STATUS, SIGN_UP } from './operations';

export function App() {
  // Kept in memory alone: where scripts can read storage, so can those that should not.
  const [token, setToken] = useState<string>();
  const client = useMemo(() => createUrqlClient(token), [token]);
  return (
    <Provider value={client}>
      <h1>urql</h1>
      {token ? <Account /> : <SignUp onToken={setToken} />}
    </Provider>
  );
}

function SignUp({ onToken }: { onToken: (token: string) => void }) {
  const [{ error }, signUp] = useMutation(SIGN_UP);
  const submit = async ({ email = '', password = '' }: Fields) => {
    const { data } = await signUp({ input: { email, password } });
    if (data) onToken(data.signUp.token);
  };
  return <Form fields={{ email: 'Email', password: 'Password' }} label="Sign up" onSubmit={submit} error={error} />;
}

function Account() {
  const [{ data }, refetch] = useQuery({ query: ME, requestPolicy: 'cache-and-network' });
  const [{ error }, connect] = useMutation(CONNECT);
  const [failure, setFailure] = useState<string>();
  const me = data?.me;
  if (!me) return <p>Loading…</p>;
  const refresh = () => refetch({ requestPolicy: 'network-only' });
  const end = (failure?: string) => {
    setFailure(failure);
    refresh();
  };
  if (me.activeOperation) return <Operation id={me.activeOperation.id} onEnd={end} />;
  if (me.connection) return <Claims />;
  const submit = async ({ username = '', password = '' }: Fields) => {
    await connect({ input: { username, password } });
    refresh();
  };
  return (
    <>
      {failure && <p role="alert">{failure}</p>}
      <Form fields={{ username: 'Username', password: 'Password' }} label="Connect" onSubmit={submit} error={error} />
    </>
  );
}

type Event = OperationStatusSubscription['operationStatus'];

function Operation({ id, onEnd }: { id: string; onEnd: (failure?: string) => void }) {
  const [{ data: events = [], error }] = useSubscription(
    // From the first change on, also after a reload.
    { query: OPERATION_STATUS, variables: { operationId: id, afterSequence: 0 } },
    (events: Event[] = [], { operationStatus: event }: OperationStatusSubscription) =>
      event.kind === 'CHANGE' ? [...events, event] : events,
  );
  const last = events.at(-1);
  const ended = last !== undefined && hasEnded(last);
  useEffect(() => {
    if (ended) onEnd(last.operation.failure?.message);
    // Once is enough.
  }, [ended]);
  const request = last?.operation.infoRequest;
  return (
    <>
      <ol aria-label="Changes" aria-live="polite">
        {events.map(({ sequence, status, message }) => (
          <li key={sequence} value={sequence}>
            {status}: {message}
          </li>
        ))}
      </ol>
      {request && <Answer key={request.id} operationId={id} request={request} />}
      {error && <p role="alert">{error.message}</p>}
    </>
  );
}

const hasEnded = ({ status }: Event) => status === 'DONE' || status === 'FAILED' || status === 'CANCELED';

interface AnswerProps {
  operationId: string;
  request: NonNullable<Event['operation']['infoRequest']>;
}

function Answer({ operationId, request }: AnswerProps) {
  const [{ error }, answer] = useMutation(ANSWER);
  const send = (input: string) => answer({ input: { operationId, infoRequestId: request.id, input } });
  if (request.__typename === 'OtpRequest') {
    return <Form fields={{ input: request.message }} label="Send" onSubmit={({ input = '' }) => send(input)} error={error} />;
  }
  return (
    <fieldset>
      <legend>{request.message}</legend>
      {request.choices.map((choice) => (
        <button key={choice} onClick={() => send(choice)}>
          {choice}
        </button>
      ))}
    </fieldset>
  );
}

function Claims() {
  const [{ data, error }] = useQuery({ query: CLAIMS, requestPolicy: 'network-only' });
  if (error) return <p role="alert">{error.message}</p>;
  if (!data) return <p>Reading claims…</p>;
  return <pre>{JSON.stringify(data.me?.connection?.claims, null, 2)}</pre>;
}

type Fields = Record<string, string>;

interface FormProps {
  /** Labels, by the fields' names. */
  fields: Fields;
  label: string;
  onSubmit: (values: Fields) => Promise<unknown>;
  error?: Error;
}

function Form({ fields, label, onSubmit, error }: FormProps) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.currentTarget)) as Fields;
    void onSubmit(values);
  };
  return (
    <form onSubmit={submit} autoComplete="off">
      {Object.entries(fields).map(([name, label]) => (
        <p key={name}>
          <label>
            {label} <input name={name} type={name === 'password' ? 'password' : 'text'} required />
          </label>
        </p>
      ))}
      <button>{label}</button>
      {error && <p role="alert">{error.message}</p>}
    </form>
  );
}
