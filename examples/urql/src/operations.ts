import { graphql } from './gql';

export const SIGN_UP = graphql(`
  mutation SignUp($input: SignUpInput!) {
    signUp(input: $input) {
      token
    }
  }
`);

export const ME = graphql(`
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

export const CLAIMS = graphql(`
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

export const CONNECT = graphql(`
  mutation Connect($input: ConnectOrangeHrmInput!) {
    connectOrangeHrm(input: $input) {
      operation {
        id
      }
    }
  }
`);

export const ANSWER = graphql(`
  mutation Answer($input: ResumeConnectionInput!) {
    resumeConnection(input: $input) {
      operation {
        id
      }
    }
  }
`);

export const OPERATION_STATUS = graphql(`
  subscription OperationStatus($operationId: ID!, $afterSequence: Int) {
    operationStatus(operationId: $operationId, afterSequence: $afterSequence) {
      kind
      sequence
      status
      message
      operation {
        id
        infoRequest {
          __typename
          id
          message
          ... on ChoiceRequest {
            choices
          }
        }
        failure {
          message
        }
      }
    }
  }
`);
