import type { CodegenConfig } from '@graphql-codegen/cli';

// Types for the operations that the pages send, out of the schema that the gateway prints.
const config: CodegenConfig = {
  schema: '../schema.graphql',
  documents: ['src/console/**/*.ts'],
  generates: {
    'src/gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        enumsAsTypes: true,
        useTypeImports: true,
        scalars: { DateTime: 'string', ID: 'string', JSON: 'unknown' },
      },
    },
  },
};

export default config;
