//! Document cache: finds documents by their text or hash, and keeps them for the next request.

use std::sync::Arc;

use moka::sync::Cache;

use super::{
    DocumentError, DocumentReader, PreparedDocument,
    hash::{hash, strip_prefix},
    reader::Document,
    trusted::TrustedDocuments,
};

/// Upper bound of the bytes of parsed documents in the cache, estimated.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Estimated bytes of a cached document, by itself and for each token of its text.
const DOCUMENT_BYTES: usize = 2_000;
const TOKEN_BYTES: usize = 400;

/// Bytes that the cache needs for a persisted text besides the text itself.
const PERSISTED_OVERHEAD: usize = 200;

/// Finds documents, and caches those whose values all come from variables.
///
/// A value in the text itself may be a password. Clones share one cache.
#[derive(Clone, Debug)]
pub struct Documents {
    reader: DocumentReader,
    cache: Cache<Arc<str>, Arc<Document>>,
    /// Texts by their hash, for automatic persisted queries; none when those are switched off.
    persisted: Option<Cache<String, Arc<str>>>,
    /// Trusted documents; where there are any, no other document runs.
    trusted: Option<TrustedDocuments>,
}

/// Source of the document of a request. It may hold secrets, so it does not implement `Debug`.
#[derive(Clone)]
pub enum DocumentSource {
    /// The document's text.
    Text(String),
    /// The document's id, with or without the text.
    Id {
        /// SHA-256 of the text in hexadecimal digits, for automatic persisted queries.
        id: String,
        /// Text of the document, to be persisted.
        text: Option<String>,
    },
    /// An unsupported version of automatic persisted queries.
    UnknownVersion,
}

impl Documents {
    /// Creates an empty cache.
    ///
    /// Up to `persisted_bytes` of texts are kept for clients that send their hashes; 0 switches that off.
    /// With `trusted` documents, no others run.
    pub fn new(
        reader: DocumentReader,
        persisted_bytes: u64,
        trusted: Option<TrustedDocuments>,
    ) -> Self {
        let cache = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|text: &Arc<str>, document: &Arc<Document>| {
                let parsed = DOCUMENT_BYTES + document.tokens * TOKEN_BYTES;
                u32::try_from(text.len() + parsed).unwrap_or(u32::MAX)
            })
            .build();
        let persisted = (persisted_bytes > 0).then(|| {
            let weigh = |_: &String, text: &Arc<str>| {
                u32::try_from(text.len() + PERSISTED_OVERHEAD).unwrap_or(u32::MAX)
            };
            let builder = Cache::builder().max_capacity(persisted_bytes);
            builder.weigher(weigh).build()
        });
        Self {
            reader,
            cache,
            persisted,
            trusted,
        }
    }

    /// Names the mutations that take a secret, as part of a sentence.
    pub(crate) fn secret_mutations(&self) -> Arc<str> {
        self.reader.types().secret_mutations()
    }

    /// Finds the document and the operation that `operation_name` selects, parsed and checked.
    ///
    /// The name may be absent where the document has a single operation.
    ///
    /// # Errors
    ///
    /// The first fault that is found in the document.
    pub fn find(
        &self,
        source: &DocumentSource,
        operation_name: Option<&str>,
    ) -> Result<PreparedDocument, DocumentError> {
        let document = match (source, &self.trusted) {
            (DocumentSource::UnknownVersion, _) => {
                return Err(DocumentError::PersistedNotSupported);
            }
            (DocumentSource::Text(text), None) => self.document(text)?,
            (DocumentSource::Id { id, text }, None) => self.persisted(id, text.as_deref())?,
            (DocumentSource::Id { id, text: None }, Some(trusted)) => trusted.by_id(id)?,
            (
                DocumentSource::Text(text)
                | DocumentSource::Id {
                    text: Some(text), ..
                },
                Some(trusted),
            ) => trusted.by_text(text)?,
        };
        PreparedDocument::new(document, operation_name)
    }

    fn document(&self, text: &str) -> Result<Arc<Document>, DocumentError> {
        if let Some(document) = self.cache.get(text) {
            return Ok(document);
        }
        let document = Arc::new(self.reader.read(text)?);
        if document.is_cacheable {
            self.cache.insert(text.into(), Arc::clone(&document));
        }
        Ok(document)
    }

    /// Finds a document of Apollo's automatic persisted queries.
    ///
    /// A document that was sent with its hash once can be requested by the hash alone.
    ///
    /// <https://www.apollographql.com/docs/apollo-server/performance/apq>
    fn persisted(&self, id: &str, text: Option<&str>) -> Result<Arc<Document>, DocumentError> {
        let Some(persisted) = &self.persisted else {
            return Err(DocumentError::PersistedNotSupported);
        };
        let id = strip_prefix(id);
        let Some(text) = text else {
            let text = persisted.get(id).ok_or(DocumentError::PersistedNotFound)?;
            return self.document(&text);
        };
        let document = self.document(text)?;
        if hash(text) != id {
            return Err(DocumentError::PersistedMismatch);
        }
        if document.is_cacheable && !persisted.contains_key(id) {
            persisted.insert(id.to_owned(), text.into());
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests;
