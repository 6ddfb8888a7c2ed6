//! Bounds on what a query document may ask for, checked before anything of it runs.
//!
//! async-graphql bounds the depth, the complexity and the directives of one field, but only after it
//! has walked the document field by field, so that fragments spread many times over cost time before
//! they are refused, and it bounds neither the length nor aliases nor root fields. Here each fragment
//! is measured once.

mod measure;
mod text;

use async_graphql::{Name, Pos};

pub(super) use self::{measure::check_document, text::check_text};

/// How much a document may ask for. Fields, aliases and directives of a fragment count each time that
/// it is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of the text: parsing takes time for each, also where it is one token or a comment.
    pub length: usize,
    /// Lexical tokens, counted before parsing.
    pub tokens: usize,
    /// Fields within fields.
    pub depth: usize,
    /// Fields within fields below `__schema` and `__type`.
    pub introspection_depth: usize,
    /// Fields, introspection included.
    pub complexity: usize,
    /// Fields of an operation's root type.
    pub root_fields: usize,
    /// Fields that are given another name.
    pub aliases: usize,
    /// Directives.
    pub directives: usize,
    /// Whether it may ask for the schema (setting `INTROSPECTION`).
    pub introspection: bool,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            length: 64 * 1024,
            tokens: 2_000,
            depth: 8,
            introspection_depth: 16,
            complexity: 300,
            root_fields: 15,
            aliases: 15,
            directives: 50,
            introspection: true,
        }
    }
}

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
    /// More than one of the mutations that check a secret.
    #[error(
        "Only one of signIn, signUp, deleteAccount, connectOrangeHrm and resumeConnection fits in a request."
    )]
    Once,
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
            Self::Once
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
