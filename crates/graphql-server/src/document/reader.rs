//! Document reader: turns a text into a document within limits.

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
    CompletionPlan, DocumentError, DocumentLimits, SchemaTypes,
    limits::{Findings, check_document, check_text},
    variables::coerce,
};

/// Length from which a text is not cached: a few of them would push out all others.
const MAX_CACHED_LENGTH: usize = 16 * 1024;

const TYPENAME: &str = "__typename";

/// Value of a product that is kept with a document for as long as the document is.
pub type DocumentExtension = Arc<dyn Any + Send + Sync>;

/// Function that derives a [`DocumentExtension`] from a document.
type ExtendDocument = Arc<dyn Fn(&ExecutableDocument) -> Option<DocumentExtension> + Send + Sync>;

/// Parses documents and checks them against limits. Clones share the schema's types.
#[derive(Clone)]
pub struct DocumentReader {
    limits: DocumentLimits,
    types: SchemaTypes,
    extend: Option<ExtendDocument>,
}

/// Document within limits.
pub struct Document {
    /// Parsed document, with additional fields where completion needs them.
    pub(crate) executable: ExecutableDocument,
    pub(crate) findings: Findings,
    /// Tells whether the text may be cached: it holds no values, and is not long.
    pub(super) is_cacheable: bool,
    /// Number of tokens of the text.
    pub(super) tokens: usize,
    /// Tells whether the document is valid against the schema, whatever comes with a request.
    is_valid: AtomicBool,
    /// Value of the product for this document, if it has one.
    pub(crate) extension: Option<DocumentExtension>,
    pub(crate) plan: CompletionPlan,
}

impl DocumentReader {
    /// Creates a reader for a schema with these types.
    pub fn new(limits: DocumentLimits, types: SchemaTypes) -> Self {
        Self {
            limits,
            types,
            extend: None,
        }
    }

    /// Keeps with each document the value that `extend` derives from it.
    ///
    /// A document with such a value is a subscription that [`crate::Hooks::subscribe`] runs.
    #[must_use]
    pub fn with_extension(
        mut self,
        extend: impl Fn(&ExecutableDocument) -> Option<DocumentExtension> + Send + Sync + 'static,
    ) -> Self {
        self.extend = Some(Arc::new(extend));
        self
    }

    /// Returns the types of the schema.
    pub(crate) fn types(&self) -> &SchemaTypes {
        &self.types
    }

    /// Parses the text and checks it against the limits.
    pub(crate) fn read(&self, text: &str) -> Result<Document, DocumentError> {
        let tokens = check_text(text, &self.limits)?;
        let mut executable = parse_query(text).map_err(|error| parse_error(&error))?;
        let findings = check_document(&executable, &self.limits, &self.types)?;
        let extend = self.extend.as_ref();
        let extension = extend.and_then(|extend| extend(&executable));
        Ok(Document {
            is_cacheable: !findings.holds_values && text.len() <= MAX_CACHED_LENGTH,
            tokens,
            is_valid: AtomicBool::new(false),
            findings,
            extension,
            // Comes last: it adds fields to the document.
            plan: CompletionPlan::prepare(&mut executable),
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
    /// Returns the operation of this name, or the first one.
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

    /// Tells whether another validation would find nothing.
    pub(crate) fn is_known_valid(&self) -> bool {
        self.is_valid.load(Ordering::Relaxed)
    }

    /// Remembers that the document passed validation.
    ///
    /// With variables or several operations the result may differ the next time, so nothing is
    /// remembered.
    pub(crate) fn mark_valid(&self) {
        let mut operations = self.executable.operations.iter();
        if let (Some((_, operation)), None) = (operations.next(), operations.next())
            && operation.node.variable_definitions.is_empty()
        {
            self.is_valid.store(true, Ordering::Relaxed);
        }
    }
}

/// Document within limits, with the operation to run.
#[derive(Clone, Debug)]
pub struct PreparedDocument {
    /// The document.
    pub(crate) document: Arc<Document>,
    /// Kind of the operation.
    pub(crate) kind: OperationType,
    /// Name of the operation, if it has one.
    pub(crate) name: Option<String>,
}

impl PreparedDocument {
    /// Selects the operation of this name, which may be absent where the document has a single operation.
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

    /// Returns the product's value for the document.
    pub fn extension(&self) -> Option<&DocumentExtension> {
        self.document.extension.as_ref()
    }

    /// Adds the parsed document to the request.
    pub fn with_document(&self, mut request: Request) -> Request {
        request.set_parsed_query(self.document.executable.clone());
        request
    }

    /// Checks the variables against their declarations, and sets defaults for absent ones.
    ///
    /// # Errors
    ///
    /// A variable is missing, or does not fit.
    pub(crate) fn coerce(&self, variables: &mut Variables) -> Result<(), DocumentError> {
        match self.definition() {
            Some(definition) => coerce(definition, &self.document.plan.conditions, variables),
            None => Ok(()),
        }
    }

    fn definition(&self) -> Option<&OperationDefinition> {
        self.document.operation(self.name.as_deref())
    }

    /// Returns the root field of the operation, not counting `__typename`.
    ///
    /// None when it selects several, or fragments.
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
    operation_name: Option<&str>,
) -> Result<(OperationType, Option<String>), DocumentError> {
    match (&document.operations, operation_name) {
        (DocumentOperations::Single(operation), None) => Ok((operation.node.ty, None)),
        (DocumentOperations::Single(_), Some(_)) => Err(DocumentError::UnknownOperation),
        (DocumentOperations::Multiple(operations), Some(operation_name)) => operations
            .get_key_value(operation_name)
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

/// Drops the parser's own message, which quotes the faulty line and with it perhaps a password.
fn parse_error(error: &parser::Error) -> DocumentError {
    let position = error.positions().next();
    match (error, position) {
        (parser::Error::MissingOperation, _) => DocumentError::NoOperation,
        (parser::Error::Syntax { .. }, Some(position)) => DocumentError::Syntax(position),
        _ => DocumentError::Definitions(position),
    }
}
