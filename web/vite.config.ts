import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// One page for each HTML file. The gateway serves /graphiql from graphiql.html and the rest as it is.
export default defineConfig({
  base: '/',
  plugins: [react()],
  build: {
    rolldownOptions: {
      input: { graphiql: 'graphiql.html' },
      onLog(level, log, report) {
        // GraphiQL's files carry React's "use no memo", which means nothing in a bundle.
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') report(level, log);
      },
    },
    // Monaco alone is larger than the default at which Vite warns.
    chunkSizeWarningLimit: 5000,
  },
  worker: { format: 'es' },
  // `npm run dev` beside `cargo run`: pages by Vite, GraphQL by the gateway.
  server: { proxy: { '/graphql': { target: 'http://127.0.0.1:8080', ws: true } } },
});
