// Runs the GraphQL-over-HTTP audits against a URL: node audit.mjs http://127.0.0.1:8080/graphql
// Introspection must be switched on there. Ends with 1 unless every audit is ok: warnings and notices
// count as failures.

import { serverAudits } from "graphql-http";

const [url] = process.argv.slice(2);
if (!url) {
  console.error("usage: node audit.mjs URL");
  process.exit(2);
}

const audits = serverAudits({ url, fetchFn: fetch });
let failed = 0;
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status !== "ok") {
    failed += 1;
    console.error(`${result.status} ${audit.id} ${audit.name}: ${result.reason}`);
  }
}
console.log(`${audits.length - failed} of ${audits.length} audits are ok`);
process.exit(failed === 0 ? 0 : 1);
