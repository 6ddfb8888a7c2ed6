import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { API_KEY, AUTH_SECRET, DATABASE_PASSWORD, WEBHOOK_SECRET, expectNoLeaks } from './canaries.mjs';
import { files, metrics, startReceiver, tables } from './places.mjs';

const BINARY = process.env.GATEWAY_BIN ?? fileURLToPath(new URL('../../../target/debug/intuned-gateway', import.meta.url));
/** How slow the simulator is; slow enough to be polled in between. */
const DELAY_SCALE = '0.3';
const READY_WITHIN_MS = 30_000;
const STOPPED_WITHIN_MS = 15_000;
/** A line by which demo mode names the accounts that there are to try. */
const GREETING = /^\S+ +INFO intuned_gateway::app::commands: demo account: /;

/**
 * The gateway that a suite runs against: the one at GATEWAY_URL, in which nobody looks for secrets, or one
 * of its own in demo mode.
 * @returns {Promise<{url: string, stop: () => Promise<void>}>} `url` is that of the GraphQL endpoint
 */
export async function gatewayForSuite() {
  const url = process.env.GATEWAY_URL;
  return url ? { url, stop: async () => {} } : startGateway();
}

/**
 * Starts a simulator of Intuned of its own, which outlives a gateway that is killed.
 * @returns {Promise<{settings: Record<string, string>, stop: () => Promise<void>}>} the gateway's settings for it
 */
export async function startSimulator() {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-simulator-'));
  const address = `127.0.0.1:${await freePort()}`;
  // The first generation is the one that asks users for passcodes.
  const args = ['simulate', '--listen', address, '--generation', '1', '--delay-scale', DELAY_SCALE, '--api-key', API_KEY];
  const server = await run(args, {}, folder, `http://${address}/`, () => true);
  return {
    settings: {
      INTUNED_API_KEY: API_KEY,
      INTUNED_WORKSPACE_ID: 'tests',
      INTUNED_PROJECT_NAME: 'tests',
      INTUNED_BASE_URL: `http://${address}/api/v1/workspace`,
    },
    async stop() {
      await server.end('SIGTERM');
      expectNoLeaks(server.output());
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * Starts the gateway's binary and waits until it is ready. Without `env` it is in demo mode.
 * The database is a new one on the server of DATABASE_URL, or a SQLite file in a folder that goes with the
 * process.
 * Each time that it ends, by `kill` or by `stop`, secrets are looked for in all that it has shown and kept.
 */
export async function startGateway({ env = {} } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-clients-'));
  const [port, metricsPort] = [await freePort(), await freePort()];
  const receiver = await startReceiver();
  const settings = {
    LISTEN_ADDR: `127.0.0.1:${port}`,
    METRICS_ADDR: `127.0.0.1:${metricsPort}`,
    DATABASE_URL: await databaseUrl(folder),
    // The sessions of a gateway that is started again stay good.
    AUTH_SECRET,
    WEBHOOK_URL: receiver.url,
    WEBHOOK_ALLOW_PRIVATE: 'true',
    WEBHOOK_SECRET,
    // All of a suite's users come from one client.
    SIGN_IN_TRIES_PER_CLIENT: '1000000',
    SIGN_INS_PER_CLIENT: '1000000',
    CONNECT_TRIES: '0',
    CONNECT_TRIES_PER_CLIENT: '0',
    RUN_TRIES: '0',
    STATUS_TRIES: '0',
    INTUNED_POLL_INTERVAL: '200ms',
    SIMULATOR_DELAY_SCALE: DELAY_SCALE,
    DEMO: String(!env.INTUNED_API_KEY),
    ...env,
  };
  let server = await run(['serve'], settings, folder, `http://127.0.0.1:${port}/health/ready`);

  async function end(signal) {
    const shown = server.isRunning() ? [await metrics(settings.METRICS_ADDR)] : [];
    const kept = await files(folder);
    await server.end(signal);
    const after = [...await files(folder), ...await tables(settings.DATABASE_URL)];
    expectNoLeaks([...shown, ...kept, ...server.output(), ...after, ...receiver.received]);
  }

  return {
    url: `http://127.0.0.1:${port}/graphql`,
    /** As a power cut would end it. */
    kill: () => end('SIGKILL'),
    async restart() {
      server = await run(['serve'], settings, folder, `http://127.0.0.1:${port}/health/ready`);
    },
    async stop() {
      try {
        await end('SIGTERM');
      } finally {
        await receiver.stop();
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

/** A database belongs to a demo or to one workspace: each gateway gets its own. */
async function databaseUrl(folder) {
  if (!process.env.DATABASE_URL) return `sqlite:${join(folder, 'gateway.sqlite')}`;
  const url = new URL(process.env.DATABASE_URL);
  const name = `clients_${randomUUID().replaceAll('-', '')}`;
  const program = process.env.CREATEDB ?? 'createdb';
  await promisify(execFile)(program, ['--maintenance-db', url.href, name]);
  url.pathname = name;
  url.password = DATABASE_PASSWORD;
  return url.href;
}

/**
 * Runs the binary in `folder`, with nothing of this process's environment but what it needs to run. It logs
 * everything; what goes wrong, or RUST_LOG asks for, is passed on.
 */
async function run(args, settings, folder, readyUrl, isReady = (answer) => answer.ok) {
  const process_ = spawn(BINARY, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, RUST_LOG: 'trace', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await once(process_, 'spawn');
  const exited = once(process_, 'close');
  const [stdout, stderr] = [process_.stdout, process_.stderr].map(lines);
  await ready(process_, readyUrl, isReady);
  return {
    isRunning: () => process_.exitCode === null && process_.signalCode === null,
    /** All of it, once it has ended. */
    output: () => [['stdout', stdout.join('\n')], ['stderr', stderr.join('\n')]],
    async end(signal) {
      if (process_.exitCode !== null || process_.signalCode !== null) return;
      process_.kill(signal);
      const late = new AbortController();
      await Promise.race([
        exited,
        delay(STOPPED_WITHIN_MS, undefined, { signal: late.signal }).then(() => {
          process_.kill('SIGKILL');
          throw new Error(`the gateway did not stop within ${STOPPED_WITHIN_MS} ms of ${signal}`);
        }),
      ]);
      late.abort();
    },
  };
}

function lines(stream) {
  const read = [];
  createInterface({ input: stream }).on('line', (line) => {
    if (!GREETING.test(line)) read.push(line);
    if (process.env.RUST_LOG || / (WARN|ERROR) /.test(line)) console.error(line);
  });
  return read;
}

async function ready(process_, url, isReady) {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (Date.now() < deadline) {
    if (process_.exitCode !== null) throw new Error(`the gateway ended with status ${process_.exitCode}`);
    const answer = await fetch(url).catch(() => undefined);
    if (answer && isReady(answer)) return;
    await delay(50);
  }
  process_.kill('SIGKILL');
  throw new Error(`the gateway was not ready within ${READY_WITHIN_MS} ms`);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
