//! `Mutation`.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    authentication::cookie,
    context::{origin, require_caller},
    error::{ApiError, OrFail},
    operation::Operation,
    user::{DeleteAccountPayload, SessionPayload, SignInInput, SignOutPayload, SignUpInput},
};
use crate::{
    accounts::Accounts,
    operations::{Answer, Attempts, Credentials, Operations},
};

/// What can be done.
pub struct Mutation;

/// What can be done.
#[Object]
impl Mutation {
    /// Opens an account and signs it in. Error code EMAIL_TAKEN when the address has one, SIGN_UP_CLOSED
    /// where the operator lets nobody open one, RATE_LIMITED after too many tries.
    async fn sign_up(
        &self,
        context: &Context<'_>,
        input: SignUpInput,
    ) -> Result<SessionPayload, ApiError> {
        let accounts = context.data_unchecked::<Accounts>();
        let signed_in = accounts.sign_up(&input.email, input.password, origin(context));
        let signed_in = signed_in.await.or_fail(context)?;
        cookie::keep(context, &signed_in);
        Ok(signed_in.into())
    }

    /// Error code INVALID_CREDENTIALS for a wrong password and for an unknown address alike, RATE_LIMITED
    /// after too many tries.
    async fn sign_in(
        &self,
        context: &Context<'_>,
        input: SignInInput,
    ) -> Result<SessionPayload, ApiError> {
        let accounts = context.data_unchecked::<Accounts>();
        let signed_in = accounts.sign_in(&input.email, input.password, origin(context));
        let signed_in = signed_in.await.or_fail(context)?;
        cookie::keep(context, &signed_in);
        Ok(signed_in.into())
    }

    /// Ends this session: its token stops working at once, on every replica and every open socket. A token
    /// of the operator's identity provider is refused from then on; what is signed in there stays so.
    async fn sign_out(&self, context: &Context<'_>) -> Result<SignOutPayload, ApiError> {
        // Also one that is no good any more.
        cookie::forget(context);
        let caller = require_caller(context)?;
        let accounts = context.data_unchecked::<Accounts>();
        let signed_out = accounts.sign_out(caller, origin(context)).await;
        signed_out.or_fail(context)?;
        Ok(SignOutPayload { signed_out: true })
    }

    /// Deletes the caller's account for good: cancels what is in flight, deletes the auth session at
    /// Intuned, and erases everything here. Tokens stop working and sockets are closed, on every replica.
    /// An account of the gateway's own takes its password; users of the operator's identity provider have
    /// none and leave it out. Error codes: INVALID_CREDENTIALS; RATE_LIMITED after too many tries.
    async fn delete_account(
        &self,
        context: &Context<'_>,
        #[graphql(secret)] password: Option<SecretString>,
    ) -> Result<DeleteAccountPayload, ApiError> {
        let caller = require_caller(context)?;
        let accounts = context.data_unchecked::<Accounts>();
        let operations = context.data_unchecked::<Operations>();
        let origin = origin(context);
        let clear = || operations.clear(caller.user_id, origin.clone());
        let deleted = accounts.delete(caller, password, origin.address(), clear);
        deleted.await.or_fail(context)?;
        cookie::forget(context);
        Ok(DeleteAccountPayload { deleted: true })
    }

    /// Starts connecting the caller's OrangeHRM account: hands the credentials to Intuned and returns at
    /// once with an operation to follow through `operationStatus`. The credentials are passed on and
    /// forgotten: never stored, never logged. A caller who is connected already is re-connected: the same
    /// auth session is renewed. One operation at a time for each user: while one is in flight, error code
    /// OPERATION_IN_PROGRESS, its id in `extensions.operationId`. RATE_LIMITED after too many tries,
    /// IDEMPOTENCY_KEY_REUSED for a key that was used with other input.
    async fn connect_orange_hrm(
        &self,
        context: &Context<'_>,
        input: ConnectOrangeHrmInput,
    ) -> Result<OperationPayload, ApiError> {
        let caller = require_caller(context)?;
        let credentials = Credentials {
            username: input.username,
            password: input.password,
            proxy: input.proxy,
        };
        let attempts = context.data_unchecked::<Attempts>();
        let operation = attempts
            .begin(
                caller.user_id,
                credentials,
                input.idempotency_key,
                origin(context),
            )
            .await;
        operation.or_fail(context).map(OperationPayload::from)
    }

    /// Answers what the sign-in asked the user for: a one-time passcode, or one of the offered choices.
    /// Error codes: NOT_FOUND, INFO_REQUEST_STALE (already answered, or replaced by a newer one),
    /// BAD_USER_INPUT (an empty passcode, or a choice that was not offered), RATE_LIMITED (Intuned asks to be
    /// left alone, or too many answers came to nothing).
    async fn resume_connection(
        &self,
        context: &Context<'_>,
        input: ResumeConnectionInput,
    ) -> Result<OperationPayload, ApiError> {
        let caller = require_caller(context)?;
        let answer = Answer {
            operation_id: operation_id(&input.operation_id)?,
            request_id: input.info_request_id.0,
            input: input.input,
        };
        let attempts = context.data_unchecked::<Attempts>();
        let operation = attempts
            .answer(caller.user_id, answer, origin(context))
            .await;
        operation.or_fail(context).map(OperationPayload::from)
    }

    /// Gives up an operation that is in flight. Ending one that has ended changes nothing.
    async fn cancel_operation(
        &self,
        context: &Context<'_>,
        operation_id: ID,
    ) -> Result<OperationPayload, ApiError> {
        let caller = require_caller(context)?;
        let id = self::operation_id(&operation_id)?;
        let operations = context.data_unchecked::<Operations>();
        let operation = operations.cancel(caller.user_id, id, origin(context)).await;
        operation.or_fail(context).map(OperationPayload::from)
    }

    /// Deletes the auth session at Intuned, then the connection. Safe to repeat; a caller with no
    /// connection gets `disconnected: false`. Cancels an operation in flight first.
    async fn disconnect_orange_hrm(
        &self,
        context: &Context<'_>,
    ) -> Result<DisconnectPayload, ApiError> {
        let caller = require_caller(context)?;
        let operations = context.data_unchecked::<Operations>();
        let disconnected = operations
            .disconnect(caller.user_id, origin(context))
            .await
            .or_fail(context)?;
        Ok(DisconnectPayload { disconnected })
    }
}

/// An id that is no UUID is one that nobody has.
pub(super) fn operation_id(id: &ID) -> Result<Uuid, ApiError> {
    Uuid::try_parse(id).map_err(|_| ApiError::no_such_operation())
}

/// A sign-in at OrangeHRM, to be passed on to Intuned.
#[derive(InputObject)]
pub(super) struct ConnectOrangeHrmInput {
    /// The OrangeHRM username.
    #[graphql(secret)]
    username: SecretString,
    /// The OrangeHRM password.
    #[graphql(secret)]
    password: SecretString,
    /// Proxy for all of this session's traffic: http://username:password@domain:port.
    #[graphql(secret)]
    proxy: Option<SecretString>,
    /// A repeat with the same key, within a day, returns the operation that the first one started; with another
    /// user name or proxy, IDEMPOTENCY_KEY_REUSED.
    idempotency_key: Option<String>,
}

/// An answer to an info request.
#[derive(InputObject)]
pub(super) struct ResumeConnectionInput {
    operation_id: ID,
    /// The id of the info request being answered.
    info_request_id: ID,
    /// The passcode (blanks around it, and within one of digits, are taken out), or the choice, word for word.
    #[graphql(secret)]
    input: SecretString,
}

/// The operation after the mutation.
#[derive(SimpleObject)]
pub(super) struct OperationPayload {
    operation: Operation,
}

impl From<crate::operations::Operation> for OperationPayload {
    fn from(operation: crate::operations::Operation) -> Self {
        Self {
            operation: operation.into(),
        }
    }
}

/// Whether there was a connection.
#[derive(SimpleObject)]
pub(super) struct DisconnectPayload {
    disconnected: bool,
}
