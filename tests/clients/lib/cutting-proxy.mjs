import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** A TCP proxy before the gateway whose connections can be cut, as a tunnel or a train would. */
export async function startCuttingProxy(gatewayUrl) {
  const target = new URL(gatewayUrl);
  const sockets = new Set();
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const cut = () => sockets.forEach((socket) => socket.resetAndDestroy());
  const url = new URL(target);
  url.port = String(server.address().port);
  return {
    url: url.href,
    cut,
    async stop() {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
