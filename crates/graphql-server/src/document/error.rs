//! The errors of documents.

use std::sync::Arc;

use async_graphql::{Name, Pos};

/// Why a document is not run. No message repeats what the document says, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is no GraphQL.
    #[error("Syntax error at line {}, column {}.", .0.line, .0.column)]
    Syntax(Pos),
    /// It has no operation.
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
    /// A fragment contains itself.
    #[error("A fragment must not contain itself.")]
    FragmentCycle(Pos),
    /// A subscription has one field, and no fragment, at its root.
    #[error("A subscription must have exactly one field at its root.")]
    SubscriptionRoot,
    /// A variable is absent or null that must not be, or decides what is left out and is no boolean.
    #[error("The variable that `extensions.variable` names is missing, or its value does not fit.")]
    Variable {
        /// What it is called.
        name: Name,
        /// Where it is declared.
        position: Pos,
    },
    /// No document of this hash is kept. The message is the one that clients of Apollo's automatic
    /// persisted queries know: they send the text along.
    #[error("PersistedQueryNotFound")]
    PersistedNotFound,
    /// Documents are not kept, or are asked for by another version of the protocol. Clients send texts.
    #[error("PersistedQueryNotSupported")]
    PersistedNotSupported,
    /// The hash is another document's.
    #[error("The hash is not the SHA-256 of the document.")]
    PersistedMismatch,
    /// Only trusted documents run, and none has this id.
    #[error("No trusted document has this id.")]
    NotInList,
    /// Only trusted documents run, and this is none.
    #[error("Only trusted documents run here, and this is none of them.")]
    NotTrusted,
    /// It asks for the schema, which is not told.
    #[error("The schema is not told here: the setting INTROSPECTION is off.")]
    IntrospectionOff,
    /// More than one of the mutations that take a secret, of which it names all.
    #[error("Only one of {0} fits in a request.")]
    Once(Arc<str>),
    /// More bytes than allowed.
    #[error("The query is too long: at most {0} bytes.")]
    Length(usize),
    /// More tokens than allowed.
    #[error("The query is too long: at most {0} tokens.")]
    Tokens(usize),
    /// Fields, values or types nested deeper than allowed.
    #[error("The query is nested too deep: at most {0} levels.")]
    Depth(usize),
    /// Lists within lists of introspection.
    #[error("The introspection query repeats itself: at most {0} nested lists.")]
    IntrospectionLists(usize),
    /// An introspection query with too long an answer.
    #[error("The introspection query asks for too much: at most some {0} values.")]
    IntrospectionValues(usize),
    /// More fields than allowed.
    #[error(
        "The query is too complex: at most {0} fields, fragments counted wherever they are used."
    )]
    Complexity(usize),
    /// More root fields than allowed.
    #[error("The query asks for too much at once: at most {0} fields at its root.")]
    RootFields(usize),
    /// More aliases than allowed.
    #[error("The query has too many aliases: at most {0}.")]
    Aliases(usize),
    /// More directives than allowed.
    #[error("The query has too many directives: at most {0}.")]
    Directives(usize),
}

impl DocumentError {
    /// The error's `extensions.code`.
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
            Self::Once(_)
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

    /// Whether the client is expected to send the request again, with its text.
    pub fn asks_for_text(&self) -> bool {
        matches!(self, Self::PersistedNotFound | Self::PersistedNotSupported)
    }

    /// The variable that it is about.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Variable { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Where in the document the error is, where that is known.
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
