import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { compression, defineAlgorithm } from 'vite-plugin-compression2';

const gateway = { target: 'http://127.0.0.1:8080' };

// One page for each HTML file. The gateway serves / from index.html, /graphiql from graphiql.html, and
// the rest as it is, compressed where the browser takes it.
export default defineConfig({
  base: '/',
  plugins: [
    react(),
    compression({
      threshold: 1024,
      algorithms: [defineAlgorithm('gzip', { level: 9 }), defineAlgorithm('brotliCompress')],
    }),
  ],
  build: {
    rolldownOptions: {
      input: { console: 'index.html', graphiql: 'graphiql.html' },
      onLog(level, log, report) {
        // GraphiQL's and Mantine's files carry React's directives, which mean nothing in a bundle.
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') report(level, log);
      },
    },
    // Monaco alone is larger than the default at which Vite warns.
    chunkSizeWarningLimit: 5000,
  },
  worker: { format: 'es' },
  // `npm run dev` beside `cargo run`: pages by Vite, all else by the gateway.
  server: { proxy: { '/graphql': { ...gateway, ws: true }, '/console.json': gateway } },
});
