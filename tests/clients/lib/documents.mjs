// Every operation that the clients send, as a web page would write them.

export const SIGN_UP = /* GraphQL */ `
  mutation SignUp($email: String!, $password: String!) {
    signUp(input: { email: $email, password: $password }) {
      token
      expiresAt
      user { id email }
    }
  }
`;

export const SIGN_OUT = /* GraphQL */ `
  mutation SignOut {
    signOut { signedOut }
  }
`;

export const ME = /* GraphQL */ `
  query Me {
    me { id email activeOperation { id } }
  }
`;

export const CLAIMS = /* GraphQL */ `
  query Claims {
    me { id connection { id status claims } }
  }
`;

export const CONNECT = /* GraphQL */ `
  mutation Connect($username: String!, $password: String!) {
    connectOrangeHrm(input: { username: $username, password: $password }) {
      operation { id status sequence }
    }
  }
`;

export const RESUME = /* GraphQL */ `
  mutation Resume($operationId: ID!, $infoRequestId: ID!, $input: String!) {
    resumeConnection(input: { operationId: $operationId, infoRequestId: $infoRequestId, input: $input }) {
      operation { id status sequence }
    }
  }
`;

export const CANCEL = /* GraphQL */ `
  mutation Cancel($operationId: ID!) {
    cancelOperation(operationId: $operationId) {
      operation { id status failure { code } }
    }
  }
`;

export const DISCONNECT = /* GraphQL */ `
  mutation Disconnect {
    disconnectOrangeHrm { disconnected }
  }
`;

export const OPERATION_STATUS = /* GraphQL */ `
  subscription OperationStatus($operationId: ID!, $afterSequence: Int) {
    operationStatus(operationId: $operationId, afterSequence: $afterSequence) {
      kind
      sequence
      status
      message
      polls
      elapsedMs
      occurredAt
      operation {
        id
        status
        infoRequest {
          __typename
          id
          message
          ... on ChoiceRequest { choices }
        }
        failure { code message retryable }
        connection { id }
      }
    }
  }
`;
