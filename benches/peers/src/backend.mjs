// What the three servers share: the schema, the check of tokens, and the reads from Postgres. One
// statement, prepared once for each connection, reads session, user and connection: the best that
// each of them can be given.
import { createVerifier } from 'fast-jwt';
import pg from 'pg';

import { Channels } from './channels.mjs';

const GATEWAY = 'intuned-gateway';

const ME = `
  SELECT u.id, u.email, c.id AS connection_id, c.auth_session_id, c.created_at, c.connected_at
  FROM sessions s
  JOIN users u ON u.id = s.user_id
  LEFT JOIN connections c ON c.user_id = u.id AND c.service = 'ORANGE_HRM'
  WHERE s.id = $1 AND s.user_id = $2 AND s.expires_at > $3`;

const OPERATION = `
  SELECT o.id, o.status, o.sequence, o.polls
  FROM operations o JOIN sessions s ON s.user_id = o.user_id
  WHERE o.id = $1 AND s.id = $2 AND s.user_id = $3 AND s.expires_at > $4`;

export const typeDefs = `
  scalar DateTime
  type Query { me: User }
  type User { id: ID! email: String! connection: Connection }
  type Connection { id: ID! status: ConnectionStatus createdAt: DateTime! connectedAt: DateTime! }
  enum ConnectionStatus { PENDING READY EXPIRED }
  type Subscription { operationStatus(operationId: ID!): OperationEvent! }
  type OperationEvent {
    kind: OperationEventKind! sequence: Int! status: OperationStatus! message: String! polls: Int!
    elapsedMs: Int! operation: Operation!
  }
  enum OperationEventKind { SNAPSHOT CHANGE PROGRESS }
  enum OperationStatus { STARTING PENDING IN_PROGRESS REQUESTED_MORE_INFO DONE FAILED CANCELED }
  type Operation { id: ID! status: OperationStatus! sequence: Int! }
`;

const verify = createVerifier({
  key: process.env.AUTH_SECRET,
  algorithms: ['HS256'],
  allowedAud: GATEWAY,
  allowedIss: GATEWAY,
  requiredClaims: ['sub', 'jti', 'exp'],
});

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });

// Whose session the token is, as far as the token says; the row is looked for when something is read.
export function claims(authorization) {
  if (!authorization) return null;
  try {
    return verify(authorization.replace(/^Bearer /i, ''));
  } catch {
    return null;
  }
}

const instant = (millis) => new Date(Number(millis)).toISOString();

async function me(caller) {
  if (!caller) return null;
  const values = [caller.jti, caller.sub, Date.now()];
  const { rows } = await pool.query({ name: 'me', text: ME, values });
  const row = rows[0];
  if (!row) return null;
  const connection = row.connection_id && {
    id: row.connection_id,
    authSessionId: row.auth_session_id,
    createdAt: instant(row.created_at),
    connectedAt: instant(row.connected_at),
  };
  return { id: row.id, email: row.email, connection };
}

// Asked of Intuned, like the gateway does.
async function status(authSessionId) {
  const { INTUNED_BASE_URL, INTUNED_WORKSPACE_ID, INTUNED_PROJECT_NAME, INTUNED_API_KEY } = process.env;
  const path = `${INTUNED_WORKSPACE_ID}/projects/${INTUNED_PROJECT_NAME}/auth-sessions/${authSessionId}`;
  const answer = await fetch(`${INTUNED_BASE_URL}/${path}`, { headers: { 'x-api-key': INTUNED_API_KEY } });
  return (await answer.json()).status;
}

const channels = new Channels();

const event = (operation, kind) => ({
  kind,
  sequence: operation.sequence,
  status: operation.status,
  message: 'Signing in.',
  polls: operation.polls,
  elapsedMs: 1000,
  operation,
});

async function* follow(caller, id) {
  const channel = channels.open(id);
  try {
    const values = [id, caller?.jti, caller?.sub, Date.now()];
    const { rows } = await pool.query({ name: 'operation', text: OPERATION, values });
    const operation = rows[0];
    if (!operation) throw new Error('there is no such operation');
    yield { operationStatus: event(operation, 'SNAPSHOT') };
    for (;;) {
      operation.polls = await channel.next();
      yield { operationStatus: event(operation, 'PROGRESS') };
    }
  } finally {
    channel.close();
  }
}

export const resolvers = {
  Query: { me: (_, __, { caller }) => me(caller) },
  Connection: { status: ({ authSessionId }) => status(authSessionId) },
  Subscription: {
    operationStatus: { subscribe: (_, { operationId }, { caller }) => follow(caller, operationId) },
  },
};

let polls = 0;

// An event for every operation that is followed.
export function broadcast() {
  polls += 1;
  channels.tellAll(polls);
}

export const port = Number(process.env.PORT);
