//! Reading: a query text becomes a document within bounds.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_graphql::{
    Request, Variables,
    parser::{
        self, parse_query,
        types::{
            DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
        },
    },
};

use super::{
    DocumentError, DocumentLimits, SchemaTypes,
    limits::{Findings, check_document, check_text},
    variables::coerce,
};
use crate::execute::completion::CompletionPlan;

/// A longer text is not kept: a few of them would push out all others.
const KEPT_TEXT_LENGTH: usize = 16 * 1024;

const TYPENAME: &str = "__typename";

/// Something of a product's that is kept with a document for as long as the document is.
pub type Kept = Arc<dyn Any + Send + Sync>;

/// Makes of a document what is kept with it.
type Keep = Arc<dyn Fn(&ExecutableDocument) -> Option<Kept> + Send + Sync>;

/// Reads documents: parses them and holds them against the limits. Clones share what they read with.
#[derive(Clone)]
pub struct DocumentReader {
    limits: DocumentLimits,
    types: SchemaTypes,
    keep: Option<Keep>,
}

/// A document within bounds.
pub struct Document {
    /// The document with more fields than the client asks for, where its answers could not be completed
    /// otherwise.
    pub(crate) executable: ExecutableDocument,
    pub(crate) findings: Findings,
    /// Tells whether its text may be kept: it holds no values, and is not long.
    pub(super) may_be_kept: bool,
    /// The number of tokens of its text.
    pub(super) tokens: usize,
    /// Tells whether it was found valid against the schema, which nothing that comes with a request changes.
    valid: AtomicBool,
    /// The product's own, where it keeps something with the document.
    pub(crate) kept: Option<Kept>,
    pub(crate) plan: CompletionPlan,
}

impl DocumentReader {
    /// Reads documents for a schema with these types.
    pub fn new(limits: DocumentLimits, types: SchemaTypes) -> Self {
        Self {
            limits,
            types,
            keep: None,
        }
    }

    /// Keeps with each document what `keep` makes of it. A document with which something is kept is a
    /// subscription that [`crate::Hooks::events`] runs.
    #[must_use]
    pub fn keeping(
        mut self,
        keep: impl Fn(&ExecutableDocument) -> Option<Kept> + Send + Sync + 'static,
    ) -> Self {
        self.keep = Some(Arc::new(keep));
        self
    }

    /// The types of the schema.
    pub(crate) fn types(&self) -> &SchemaTypes {
        &self.types
    }

    /// Parses the text, if it is within the limits.
    pub(crate) fn read(&self, text: &str) -> Result<Document, DocumentError> {
        let tokens = check_text(text, &self.limits)?;
        let mut executable = parse_query(text).map_err(|error| parse_error(&error))?;
        let findings = check_document(&executable, &self.limits, &self.types)?;
        let kept = self.keep.as_ref().and_then(|keep| keep(&executable));
        Ok(Document {
            may_be_kept: !findings.holds_values && text.len() <= KEPT_TEXT_LENGTH,
            tokens,
            valid: AtomicBool::new(false),
            findings,
            kept,
            // The last: it changes what would be found.
            plan: CompletionPlan::mark(&mut executable),
            executable,
        })
    }
}

impl fmt::Debug for DocumentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentReader")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Document {
    /// The operation of this name; the only one, where there is no other.
    pub(crate) fn operation(&self, name: Option<&str>) -> Option<&OperationDefinition> {
        match (&self.executable.operations, name) {
            (DocumentOperations::Single(operation), _) => Some(&operation.node),
            (DocumentOperations::Multiple(operations), Some(name)) => {
                operations.get(name).map(|operation| &operation.node)
            }
            (DocumentOperations::Multiple(operations), None) => {
                let mut operations = operations.values();
                operations.next().map(|operation| &operation.node)
            }
        }
    }

    /// Tells whether validating it again would find nothing.
    pub(crate) fn was_found_valid(&self) -> bool {
        self.valid.load(Ordering::Relaxed)
    }

    /// Remembers that it passed validation. Validating one with variables looks at their values too, and
    /// with several operations at the one that is meant: of these it says nothing about the next time.
    pub(crate) fn found_valid(&self) {
        let mut operations = self.executable.operations.iter();
        if let (Some((_, operation)), None) = (operations.next(), operations.next())
            && operation.node.variable_definitions.is_empty()
        {
            self.valid.store(true, Ordering::Relaxed);
        }
    }
}

/// A document within bounds, and which of its operations is to run.
#[derive(Clone, Debug)]
pub struct PreparedDocument {
    /// The document.
    pub(crate) document: Arc<Document>,
    /// Query, mutation or subscription.
    pub(crate) kind: OperationType,
    /// The operation's name, where it has one.
    pub(crate) name: Option<String>,
}

impl PreparedDocument {
    /// Finds the operation of this name, which may be absent where the document has one operation only.
    pub(super) fn new(
        document: Arc<Document>,
        operation_name: Option<&str>,
    ) -> Result<Self, DocumentError> {
        let (kind, name) = find_operation(&document.executable, operation_name)?;
        Ok(Self {
            document,
            kind,
            name,
        })
    }

    /// Something of the product's that is kept with the document.
    pub fn kept(&self) -> Option<&Kept> {
        self.document.kept.as_ref()
    }

    /// The request, for this document.
    pub fn parsed(&self, mut request: Request) -> Request {
        request.set_parsed_query(self.document.executable.clone());
        request
    }

    /// Holds the variables against what the operation declares, and gives absent ones their defaults.
    ///
    /// # Errors
    /// One is missing, or does not fit.
    pub(crate) fn coerce(&self, variables: &mut Variables) -> Result<(), DocumentError> {
        match self.definition() {
            Some(definition) => coerce(definition, &self.document.plan.conditions, variables),
            None => Ok(()),
        }
    }

    fn definition(&self) -> Option<&OperationDefinition> {
        self.document.operation(self.name.as_deref())
    }

    /// The one field of the schema's root that the operation selects, besides `__typename`; none when
    /// there are several, or fragments.
    pub(crate) fn root_field(&self) -> Option<&str> {
        let mut root_field = None;
        for selection in &self.definition()?.selection_set.node.items {
            let Selection::Field(field) = &selection.node else {
                return None;
            };
            match (field.node.name.node.as_str(), root_field) {
                (TYPENAME, _) => {}
                (name, None) => root_field = Some(name),
                (_, Some(_)) => return None,
            }
        }
        Some(root_field.unwrap_or(TYPENAME))
    }
}

fn find_operation(
    document: &ExecutableDocument,
    wanted: Option<&str>,
) -> Result<(OperationType, Option<String>), DocumentError> {
    match (&document.operations, wanted) {
        (DocumentOperations::Single(operation), None) => Ok((operation.node.ty, None)),
        (DocumentOperations::Single(_), Some(_)) => Err(DocumentError::UnknownOperation),
        (DocumentOperations::Multiple(operations), Some(wanted)) => operations
            .get_key_value(wanted)
            .map(|(name, operation)| (operation.node.ty, Some(name.to_string())))
            .ok_or(DocumentError::UnknownOperation),
        (DocumentOperations::Multiple(operations), None) => {
            let mut operations = operations.iter();
            match (operations.next(), operations.next()) {
                (Some((name, operation)), None) => Ok((operation.node.ty, Some(name.to_string()))),
                _ => Err(DocumentError::OperationNameMissing),
            }
        }
    }
}

/// The parser's own message quotes the line that it stumbled over, which may hold a password.
fn parse_error(error: &parser::Error) -> DocumentError {
    let position = error.positions().next();
    match (error, position) {
        (parser::Error::MissingOperation, _) => DocumentError::NoOperation,
        (parser::Error::Syntax { .. }, Some(position)) => DocumentError::Syntax(position),
        _ => DocumentError::Definitions(position),
    }
}
