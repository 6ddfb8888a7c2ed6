//! Bounds on what a query document may ask for, checked before anything of it runs.
//!
//! async-graphql bounds the depth, the complexity and the directives of one field, but only after it
//! has walked the document field by field, so that fragments spread many times over cost time before
//! they are refused, and it bounds neither the length nor aliases nor root fields. Here each fragment
//! is measured once.

use std::collections::HashMap;

use async_graphql::{
    Name, Pos, Positioned,
    parser::types::{
        Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
        SelectionSet,
    },
};
use async_graphql_value::Value;

/// Brackets of any kind that may be open at once: keeps the parser's recursion shallow.
const NESTING: usize = 50;

/// Lists of introspection that may stand within each other. The query that `GraphiQL` sends needs one;
/// each further one multiplies the answer by the size of the schema.
const INTROSPECTION_LISTS: usize = 2;

/// Mutations that check a secret: one of them for each request, so that a request is one try.
const ONCE: [&str; 4] = ["signIn", "signUp", "connectOrangeHrm", "resumeConnection"];

/// How much a document may ask for. Fields, aliases and directives of a fragment count each time that
/// it is spread.
#[derive(Clone, Copy, Debug)]
pub struct DocumentLimits {
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
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            tokens: 2_000,
            depth: 8,
            introspection_depth: 16,
            complexity: 300,
            root_fields: 15,
            aliases: 15,
            directives: 50,
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
    /// More than one of the mutations that check a secret.
    #[error("Only one of signIn, signUp, connectOrangeHrm and resumeConnection fits in a request.")]
    Once,
    /// More tokens than allowed.
    #[error("The query is too long: at most {0} tokens.")]
    Tokens(usize),
    /// Fields, values or types nested deeper than allowed.
    #[error("The query is nested too deep: at most {0} levels.")]
    Depth(usize),
    /// Lists within lists of introspection.
    #[error("The introspection query repeats itself: at most {INTROSPECTION_LISTS} nested lists.")]
    IntrospectionLists,
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
            Self::FragmentCycle(_) | Self::SubscriptionRoot => "GRAPHQL_VALIDATION_FAILED",
            Self::Once
            | Self::Tokens(_)
            | Self::Depth(_)
            | Self::IntrospectionLists
            | Self::Complexity(_)
            | Self::RootFields(_)
            | Self::Aliases(_)
            | Self::Directives(_) => "QUERY_TOO_COMPLEX",
        }
    }

    /// Where in the document the error is, where that is known.
    pub fn position(&self) -> Option<Pos> {
        match self {
            Self::Syntax(position) | Self::FragmentCycle(position) => Some(*position),
            Self::Definitions(position) => *position,
            _ => None,
        }
    }
}

/// Counts tokens and open brackets, so that a monstrous text is refused before it is parsed.
pub(super) fn check_text(text: &str, limits: &DocumentLimits) -> Result<(), DocumentError> {
    let mut rest = text.as_bytes();
    let mut tokens = 0_usize;
    let mut open = 0_usize;
    while let [first, tail @ ..] = rest {
        rest = match first {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                rest = tail;
                continue;
            }
            b'#' => {
                rest = skip_while(tail, |byte| byte != b'\n' && byte != b'\r');
                continue;
            }
            b'"' => skip_string(rest),
            b'.' => tail.strip_prefix(b"..").unwrap_or(tail),
            b'{' | b'(' | b'[' => {
                open += 1;
                tail
            }
            b'}' | b')' | b']' => {
                open = open.saturating_sub(1);
                tail
            }
            b'0'..=b'9' | b'-' => skip_while(tail, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-')
            }),
            _ => skip_while(tail, |byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        };
        tokens += 1;
        if tokens > limits.tokens {
            return Err(DocumentError::Tokens(limits.tokens));
        }
        if open > NESTING {
            return Err(DocumentError::Depth(limits.depth));
        }
    }
    Ok(())
}

fn skip_while(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> &[u8] {
    let end = bytes.iter().position(|byte| !belongs(*byte));
    end.and_then(|end| bytes.get(end..)).unwrap_or_default()
}

/// Skips the string or block string that `bytes` begins with.
fn skip_string(bytes: &[u8]) -> &[u8] {
    let block = bytes.starts_with(br#"""""#);
    let (quote, escape): (&[u8], &[u8]) = if block {
        (br#"""""#, br#"\""""#)
    } else {
        (br#"""#, br"\")
    };
    let mut rest = bytes.strip_prefix(quote).unwrap_or_default();
    while !rest.is_empty() {
        if let Some(end) = rest.strip_prefix(quote) {
            return end;
        }
        let escaped = rest.strip_prefix(escape);
        let step = match escaped {
            Some(after) if block => after,
            Some(after) => after.get(1..).unwrap_or_default(),
            None => rest.get(1..).unwrap_or_default(),
        };
        rest = step;
    }
    rest
}

/// What the walk over a parsed document found besides that it is within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    /// Whether the text itself holds values (strings, numbers, enum values), rather than to take all
    /// of them from variables.
    pub(super) holds_values: bool,
}

/// Measures every operation of the document.
pub(super) fn check_document(
    document: &ExecutableDocument,
    limits: &DocumentLimits,
) -> Result<Findings, DocumentError> {
    let mut walk = Walk {
        document,
        fragments: HashMap::new(),
        holds_values: false,
    };
    for name in document.fragments.keys() {
        walk.fragment(name)?;
    }
    for (_, operation) in document.operations.iter() {
        walk.operation(&operation.node, limits)?;
    }
    Ok(Findings {
        holds_values: walk.holds_values,
    })
}

/// What a selection set asks for, with all of its fragments.
#[derive(Clone, Copy, Default)]
struct Measure {
    /// Fields of the set itself.
    fields: usize,
    /// Those of them that are to be asked for once.
    once: usize,
    all_fields: usize,
    depth: usize,
    introspection_depth: usize,
    /// Lists of introspection within each other; means nothing outside of introspection.
    lists: usize,
    introspection_lists: usize,
    aliases: usize,
    directives: usize,
}

impl Measure {
    fn add(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.once = self.once.saturating_add(other.once);
        self.all_fields = self.all_fields.saturating_add(other.all_fields);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.lists = self.lists.max(other.lists);
        self.introspection_lists = self.introspection_lists.max(other.introspection_lists);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
    }

    /// The measure of a field that has this one as its selection set.
    fn within(self, field: &Field) -> Self {
        let name = field.name.node.as_str();
        let depth = self.depth + 1;
        let lists = self.lists
            + usize::from(matches!(
                name,
                "fields" | "inputFields" | "interfaces" | "possibleTypes"
            ));
        let mut measure = Self {
            fields: 1,
            once: usize::from(ONCE.contains(&name)),
            all_fields: self.all_fields.saturating_add(1),
            aliases: self
                .aliases
                .saturating_add(usize::from(field.alias.is_some())),
            depth,
            lists,
            ..self
        };
        if matches!(name, "__schema" | "__type") {
            measure.introspection_depth = depth;
            measure.introspection_lists = lists;
            measure.depth = 1;
        }
        measure
    }

    fn check(&self, limits: &DocumentLimits) -> Result<(), DocumentError> {
        if self.all_fields > limits.complexity {
            Err(DocumentError::Complexity(limits.complexity))
        } else if self.depth > limits.depth {
            Err(DocumentError::Depth(limits.depth))
        } else if self.introspection_depth > limits.introspection_depth {
            Err(DocumentError::Depth(limits.introspection_depth))
        } else if self.introspection_lists > INTROSPECTION_LISTS {
            Err(DocumentError::IntrospectionLists)
        } else if self.aliases > limits.aliases {
            Err(DocumentError::Aliases(limits.aliases))
        } else if self.directives > limits.directives {
            Err(DocumentError::Directives(limits.directives))
        } else if self.fields > limits.root_fields {
            Err(DocumentError::RootFields(limits.root_fields))
        } else if self.once > 1 {
            Err(DocumentError::Once)
        } else {
            Ok(())
        }
    }
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    /// None while the fragment is being measured.
    fragments: HashMap<&'a str, Option<Measure>>,
    holds_values: bool,
}

impl<'a> Walk<'a> {
    fn operation(
        &mut self,
        operation: &'a OperationDefinition,
        limits: &DocumentLimits,
    ) -> Result<(), DocumentError> {
        let set = &operation.selection_set.node;
        let mut measure = self.selection_set(set)?;
        measure.directives = measure
            .directives
            .saturating_add(self.directives(&operation.directives));
        for variable in &operation.variable_definitions {
            measure.directives = measure
                .directives
                .saturating_add(self.directives(&variable.node.directives));
            self.holds_values |= variable.node.default_value.is_some();
        }
        measure.check(limits)?;
        let one_field =
            matches!(set.items.as_slice(), [only] if matches!(only.node, Selection::Field(_)));
        if operation.ty == OperationType::Subscription && !one_field {
            return Err(DocumentError::SubscriptionRoot);
        }
        Ok(())
    }

    fn selection_set(&mut self, set: &'a SelectionSet) -> Result<Measure, DocumentError> {
        let mut total = Measure::default();
        for selection in &set.items {
            let mut measure = match &selection.node {
                Selection::Field(field) => {
                    self.arguments(&field.node.arguments);
                    self.selection_set(&field.node.selection_set.node)?
                        .within(&field.node)
                }
                Selection::InlineFragment(fragment) => {
                    self.selection_set(&fragment.node.selection_set.node)?
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node)?
                }
            };
            measure.directives = measure
                .directives
                .saturating_add(self.directives(selection.node.directives()));
            total.add(measure);
        }
        Ok(total)
    }

    /// An unknown fragment measures nothing: validation reports it.
    fn fragment(&mut self, name: &str) -> Result<Measure, DocumentError> {
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
            return Ok(Measure::default());
        };
        match self.fragments.get(name.as_str()) {
            Some(Some(measure)) => Ok(*measure),
            Some(None) => Err(DocumentError::FragmentCycle(fragment.pos)),
            None => {
                self.fragments.insert(name, None);
                let mut measure = self.selection_set(&fragment.node.selection_set.node)?;
                measure.directives = measure
                    .directives
                    .saturating_add(self.directives(&fragment.node.directives));
                self.fragments.insert(name, Some(measure));
                Ok(measure)
            }
        }
    }

    fn directives(&mut self, directives: &[Positioned<Directive>]) -> usize {
        for directive in directives {
            self.arguments(&directive.node.arguments);
        }
        directives.len()
    }

    fn arguments(&mut self, arguments: &[(Positioned<Name>, Positioned<Value>)]) {
        self.holds_values |= arguments.iter().any(|(_, value)| holds_values(&value.node));
    }
}

fn holds_values(value: &Value) -> bool {
    match value {
        Value::Variable(_) | Value::Null | Value::Boolean(_) => false,
        Value::Number(_) | Value::String(_) | Value::Binary(_) | Value::Enum(_) => true,
        Value::List(items) => items.iter().any(holds_values),
        Value::Object(fields) => fields.values().any(holds_values),
    }
}
