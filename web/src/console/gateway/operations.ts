import { graphql } from '../../gql';

export const Me = graphql(`
  query Me {
    me {
      id
      email
      connection {
        id
        connectedAt
      }
      activeOperation {
        id
      }
    }
  }
`);

export const ConnectionState = graphql(`
  query ConnectionState {
    me {
      id
      connection {
        id
        status
      }
    }
  }
`);

export const Claims = graphql(`
  query Claims {
    me {
      id
      connection {
        id
        claims
      }
    }
  }
`);

// The answers' tokens are left where they are: the browser keeps the session in a cookie.
export const SignUp = graphql(`
  mutation SignUp($input: SignUpInput!) {
    signUp(input: $input) {
      expiresAt
    }
  }
`);

export const SignIn = graphql(`
  mutation SignIn($input: SignInInput!) {
    signIn(input: $input) {
      expiresAt
    }
  }
`);

export const SignOut = graphql(`
  mutation SignOut {
    signOut {
      signedOut
    }
  }
`);

export const Connect = graphql(`
  mutation Connect($input: ConnectOrangeHrmInput!) {
    connectOrangeHrm(input: $input) {
      operation {
        id
      }
    }
  }
`);

export const Answer = graphql(`
  mutation Answer($input: ResumeConnectionInput!) {
    resumeConnection(input: $input) {
      operation {
        id
      }
    }
  }
`);

export const Cancel = graphql(`
  mutation Cancel($operationId: ID!) {
    cancelOperation(operationId: $operationId) {
      operation {
        id
      }
    }
  }
`);

export const Disconnect = graphql(`
  mutation Disconnect {
    disconnectOrangeHrm {
      disconnected
    }
  }
`);

export const FollowOperation = graphql(`
  subscription FollowOperation($operationId: ID!, $afterSequence: Int) {
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
        kind
        infoRequest {
          __typename
          id
          message
          ... on ChoiceRequest {
            choices
          }
        }
        failure {
          code
          message
          retryable
          reference
        }
      }
    }
  }
`);
