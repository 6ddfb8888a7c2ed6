import { ApolloProvider, useMutation, useQuery, useSubscription } from '@apollo/client/react';
import { type FormEvent, useMemo, useState } from 'react';
import { createApolloClient } from './client';
import type { OperationStatusSubscription } from './gql/graphql';
import { ANSWER, CLAIMS, CONNECT, ME, OPERATION_STATUS, SIGN_UP } from './operations';

export function App() {
  // Kept in memory alone: where scripts can read storage, so can those that should not.
  const [token, setToken] = useState<string>();
  const client = useMemo(() => createApolloClient(token), [token]);
  return (
    <ApolloProvider client={client}>
      <h1>Apollo Client</h1>
      {token ? <Account /> : <SignUp onToken={setToken} />}
    </ApolloProvider>
  );
}

function SignUp({ onToken }: { onToken: (token: string) => void }) {
  const [signUp, { error }] = useMutation(SIGN_UP);
  const submit = async ({ email = '', password = '' }: Fields) => {
    const { data } = await signUp({ variables: { input: { email, password } } });
    if (data) onToken(data.signUp.token);
  };
  return <Form fields={{ email: 'Email', password: 'Password' }} label="Sign up" onSubmit={submit} error={error} />;
}

function Account() {
  const { data } = useQuery(ME);
  const [connect, { error }] = useMutation(CONNECT, { refetchQueries: [ME], awaitRefetchQueries: true });
  const [failure, setFailure] = useState<string>();
  const me = data?.me;
  if (!me) return <p>Loading…</p>;
  if (me.activeOperation) return <Operation id={me.activeOperation.id} onEnd={setFailure} />;
  if (me.connection) return <Claims />;
  const submit = ({ username = '', password = '' }: Fields) =>
    connect({ variables: { input: { username, password } } });
  return (
    <>
      {failure && <p role="alert">{failure}</p>}
      <Form fields={{ username: 'Username', password: 'Password' }} label="Connect" onSubmit={submit} error={error} />
    </>
  );
}

type Event = OperationStatusSubscription['operationStatus'];

function Operation({ id, onEnd }: { id: string; onEnd: (failure?: string) => void }) {
  const [events, setEvents] = useState<Event[]>([]);
  const { error } = useSubscription(OPERATION_STATUS, {
    // From the first change on, also after a reload.
    variables: { operationId: id, afterSequence: 0 },
    onData: ({ client, data: { data } }) => {
      const event = data?.operationStatus;
      if (!event) return;
      if (event.kind === 'CHANGE') setEvents((events) => [...events, event]);
      if (!hasEnded(event)) return;
      onEnd(event.operation.failure?.message);
      // What the operation came to is known: the cache is told, and nothing is asked again.
      client.cache.updateQuery({ query: ME }, (data) =>
        data?.me && { me: { ...data.me, activeOperation: null, connection: event.operation.connection ?? null } },
      );
    },
  });
  const request = events.at(-1)?.operation.infoRequest;
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
  const [answer, { error }] = useMutation(ANSWER);
  const send = (input: string) => answer({ variables: { input: { operationId, infoRequestId: request.id, input } } });
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
  const { data, error } = useQuery(CLAIMS);
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
    // What goes wrong is shown below.
    onSubmit(values).catch(() => {});
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
