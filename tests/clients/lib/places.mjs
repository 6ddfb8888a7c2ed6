// Where secrets are looked for, besides what the gateway writes on stdout and stderr.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';

/** Everything that lies in a gateway's folder: its SQLite file as it is, with its write-ahead log. */
export async function files(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const named = entries.filter((entry) => entry.isFile());
  return Promise.all(named.map(async ({ name, path }) =>
    // What SQLite has just done away with has no content.
    [`the file ${name}`, await readFile(join(path, name)).catch(() => '')]));
}

/** Every row of every table, where the database is PostgreSQL's. */
export async function tables(databaseUrl) {
  if (databaseUrl.startsWith('sqlite:')) return [];
  const program = process.env.PG_DUMP ?? 'pg_dump';
  const dump = promisify(execFile)(program, ['--data-only', databaseUrl], { maxBuffer: 2 ** 30 });
  const { stdout } = await dump;
  return [['the database', stdout]];
}

/** What Prometheus would read. */
export async function metrics(address) {
  const page = await fetch(`http://${address}/metrics`);
  return ['the metrics', await page.text()];
}

/** Takes webhooks, and keeps them. */
export async function startReceiver() {
  const received = [];
  const server = createServer(async (request, response) => {
    received.push(['a webhook', `${request.rawHeaders} ${await buffer(request)}`]);
    response.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    received,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
