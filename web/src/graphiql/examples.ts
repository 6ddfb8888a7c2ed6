/** What the editor holds on a first visit: a walk through the whole API. */
export const EXAMPLES = `# Run one after the other: put the cursor in an operation and press Ctrl-Enter.

# 0. Who are you? Whoever is signed in to the console is signed in here.
query Me {
  me {
    email
    activeOperation {
      id
      status
    }
  }
}

# 1. Otherwise open an account: that signs you in. To be someone else, put a token into the Headers
#    below: { "authorization": "Bearer TOKEN" }
mutation SignUp {
  signUp(input: { email: "ada@example.com", password: "correct horse battery" }) {
    expiresAt
  }
}

# 2. Start connecting an OrangeHRM account. In demo mode, Admin with admin123 is one.
mutation Connect {
  connectOrangeHrm(input: { username: "Admin", password: "admin123" }) {
    operation {
      id
      status
    }
  }
}

# 3. Watch it. Put the operation's id into the Variables below: { "id": "..." }
subscription Follow($id: ID!) {
  operationStatus(operationId: $id) {
    kind
    sequence
    status
    message
    polls
    elapsedMs
    operation {
      infoRequest {
        id
        message
        ... on ChoiceRequest {
          choices
        }
      }
      failure {
        code
        message
      }
    }
  }
}

# 4. Answer what the sign-in asks for, where it asks. In demo mode, it asks the user "passcode".
mutation Answer($id: ID!, $request: ID!, $input: String!) {
  resumeConnection(input: { operationId: $id, infoRequestId: $request, input: $input }) {
    operation {
      status
    }
  }
}

# 5. Read the claims.
query Claims {
  me {
    connection {
      status
      claims
    }
  }
}
`;
