/** The gateway answered with an error, as opposed to: no answer came. */
export class RequestError extends Error {
  /** @param {import('graphql').GraphQLFormattedError[]} errors as the answer holds them */
  constructor(errors) {
    super(errors.map((error) => error.message).join('; '));
    this.name = 'RequestError';
    this.code = errors[0]?.extensions?.code;
    this.extensions = errors[0]?.extensions ?? {};
  }
}
