//! Document errors.

use std::sync::Arc;

use async_graphql::{Name, Pos};

/// Reason for not running a document. No message repeats the document's text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The document is no GraphQL.
    #[error("Syntax error at line {}, column {}.", .0.line, .0.column)]
    Syntax(Pos),
    /// The document has no operation.
    #[error("The document contains no operation.")]
    NoOperation,
    /// Two definitions have one name, or an unnamed operation is not the only one.
    #[error(
        "Operations and fragments need names that differ; an unnamed operation must be the only one."
    )]
    Definitions(Option<Pos>),
    /// The request names an operation that the document does not have.
    #[error("The document has no operation of the name that `operationName` gives.")]
    UnknownOperation,
    /// The document has several operations and the request names none.
    #[error("The document has several operations: say which one in `operationName`.")]
    OperationNameMissing,
    /// A cycle of fragments.
    #[error("A fragment must not contain itself.")]
    FragmentCycle(Pos),
    /// A subscription without exactly one root field.
    #[error("A subscription must have exactly one field at its root.")]
    SubscriptionRoot,
    /// A required variable is absent or null, or the condition of `@skip` or `@include` is no boolean.
    #[error("The variable that `extensions.variable` names is missing, or its value does not fit.")]
    Variable {
        /// The variable's name.
        name: Name,
        /// The variable's declaration.
        position: Pos,
    },
    /// Unknown hash. Clients of Apollo's automatic persisted queries know this message and send the text
    /// along.
    #[error("PersistedQueryNotFound")]
    PersistedNotFound,
    /// Persisted queries are off, or another version of the protocol was used. Clients send texts then.
    #[error("PersistedQueryNotSupported")]
    PersistedNotSupported,
    /// Hash of another document.
    #[error("The hash is not the SHA-256 of the document.")]
    PersistedMismatch,
    /// Unknown id, where only trusted documents run.
    #[error("No trusted document has this id.")]
    NotInList,
    /// Untrusted document, where only trusted documents run.
    #[error("Only trusted documents run here, and this is none of them.")]
    NotTrusted,
    /// Introspection, where it is switched off.
    #[error("The schema is not told here: the setting INTROSPECTION is off.")]
    IntrospectionOff,
    /// Several mutations that take a secret. The message names all such mutations.
    #[error("Only one of {0} fits in a request.")]
    SeveralSecrets(Arc<str>),
    /// Too many bytes.
    #[error("The query is too long: at most {0} bytes.")]
    Length(usize),
    /// Too many tokens.
    #[error("The query is too long: at most {0} tokens.")]
    Tokens(usize),
    /// Too deep nesting of fields, values or types.
    #[error("The query is nested too deep: at most {0} levels.")]
    Depth(usize),
    /// Too many lists within lists of introspection.
    #[error("The introspection query repeats itself: at most {0} nested lists.")]
    IntrospectionLists(usize),
    /// Too long an answer to introspection.
    #[error("The introspection query asks for too much: at most some {0} values.")]
    IntrospectionValues(usize),
    /// Too many fields.
    #[error(
        "The query is too complex: at most {0} fields, fragments counted wherever they are used."
    )]
    Complexity(usize),
    /// Too many root fields.
    #[error("The query asks for too much at once: at most {0} fields at its root.")]
    RootFields(usize),
    /// Too many aliases.
    #[error("The query has too many aliases: at most {0}.")]
    Aliases(usize),
    /// Too many directives.
    #[error("The query has too many directives: at most {0}.")]
    Directives(usize),
}

impl DocumentError {
    /// Returns the error's `extensions.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::NoOperation | Self::Definitions(_) => "GRAPHQL_PARSE_FAILED",
            Self::UnknownOperation | Self::OperationNameMissing => "OPERATION_RESOLUTION_FAILURE",
            Self::FragmentCycle(_)
            | Self::SubscriptionRoot
            | Self::IntrospectionOff
            | Self::Variable { .. } => "GRAPHQL_VALIDATION_FAILED",
            Self::PersistedNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::PersistedNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::PersistedMismatch => "PERSISTED_QUERY_HASH_MISMATCH",
            Self::NotInList => "PERSISTED_QUERY_NOT_IN_LIST",
            Self::NotTrusted => "QUERY_NOT_IN_SAFELIST",
            Self::SeveralSecrets(_)
            | Self::Length(_)
            | Self::Tokens(_)
            | Self::Depth(_)
            | Self::IntrospectionLists(_)
            | Self::IntrospectionValues(_)
            | Self::Complexity(_)
            | Self::RootFields(_)
            | Self::Aliases(_)
            | Self::Directives(_) => "QUERY_TOO_COMPLEX",
        }
    }

    /// Tells whether clients react by sending the request again, with the document's text.
    pub fn asks_for_text(&self) -> bool {
        matches!(self, Self::PersistedNotFound | Self::PersistedNotSupported)
    }

    /// Returns the name of the variable that the error is about.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Returns the position in the document, where it is known.
    pub fn position(&self) -> Option<Pos> {
        match self {
            Self::Syntax(position)
            | Self::FragmentCycle(position)
            | Self::Variable { position, .. } => Some(*position),
            Self::Definitions(position) => *position,
            _ => None,
        }
    }
}
