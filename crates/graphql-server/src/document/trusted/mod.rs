//! Trusted documents: a list of an operator's own operations, besides which none run.

mod manifest;

use std::{
    collections::{HashMap, HashSet},
    fmt, fs, io,
    path::Path,
    sync::Arc,
};

use self::manifest::Manifest;
use super::{
    DocumentError, DocumentReader,
    hash::{hash, strip_prefix},
    reader::Document,
};
use async_graphql::{
    ObjectType, Request, Schema, SchemaBuilder, ServerError, SubscriptionType, ValidationResult,
    async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation},
};

/// Documents that may run. Clones share them.
#[derive(Clone, Debug)]
pub struct TrustedDocuments {
    by_id: Arc<HashMap<String, Arc<Document>>>,
    by_text: Arc<HashMap<String, Arc<Document>>>,
}

/// Fault of a list of trusted documents.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("the file of trusted documents cannot be read")]
    File(#[from] io::Error),
    /// The file has neither of the two formats.
    #[error(
        "the file of trusted documents is neither Apollo's persisted query manifest nor a JSON object from ids to documents"
    )]
    Format(#[source] serde_json::Error),
    /// Some documents would not run.
    #[error(transparent)]
    Documents(FaultyDocuments),
}

/// Ids of the documents that would not run, each with its fault.
#[derive(Debug)]
pub struct FaultyDocuments(pub Vec<(String, String)>);

impl fmt::Display for FaultyDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} trusted documents would not run:", self.0.len())?;
        for (id, fault) in &self.0 {
            write!(f, "\n  {id:?}: {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FaultyDocuments {}

impl TrustedDocuments {
    /// Reads the file and checks each document against the limits of `reader` and the schema.
    ///
    /// # Errors
    ///
    /// [`ManifestError`], which lists every document that would not run.
    pub async fn load<Query, Mutation, Subscription>(
        path: &Path,
        reader: &DocumentReader,
        schema: SchemaBuilder<Query, Mutation, Subscription>,
    ) -> Result<Self, ManifestError>
    where
        Query: ObjectType + 'static,
        Mutation: ObjectType + 'static,
        Subscription: SubscriptionType + 'static,
    {
        let manifest = fs::read(path)?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(ManifestError::Format)?;
        let schema = schema.extension(ValidationOnly).finish();
        let (mut by_id, mut by_text) = (HashMap::new(), HashMap::new());
        let (mut faulty, mut ids) = (Vec::new(), HashSet::new());
        for (id, text) in manifest.documents() {
            if !ids.insert(strip_prefix(&id).to_owned()) {
                faulty.push((id, "this id is there more than once".to_owned()));
                continue;
            }
            match check(&schema, reader, &text).await {
                Ok(document) => {
                    by_id.insert(strip_prefix(&id).to_owned(), Arc::clone(&document));
                    // Clients that compute the hash themselves use this id, whatever the file says.
                    by_id.insert(hash(&text), Arc::clone(&document));
                    by_text.insert(text, document);
                }
                Err(fault) => faulty.push((id, fault)),
            }
        }
        if faulty.is_empty() {
            Ok(Self {
                by_id: Arc::new(by_id),
                by_text: Arc::new(by_text),
            })
        } else {
            Err(ManifestError::Documents(FaultyDocuments(faulty)))
        }
    }

    /// Returns the number of documents.
    pub fn len(&self) -> usize {
        self.by_text.len()
    }

    /// Tells whether the list is empty, so that nothing may run.
    pub fn is_empty(&self) -> bool {
        self.by_text.is_empty()
    }

    pub(super) fn by_id(&self, id: &str) -> Result<Arc<Document>, DocumentError> {
        let document = self.by_id.get(strip_prefix(id)).cloned();
        document.ok_or(DocumentError::NotInList)
    }

    pub(super) fn by_text(&self, text: &str) -> Result<Arc<Document>, DocumentError> {
        let document = self.by_text.get(text).cloned();
        document.ok_or(DocumentError::NotTrusted)
    }
}

/// Checks that every operation of the document is within the limits and valid.
async fn check<Query, Mutation, Subscription>(
    schema: &Schema<Query, Mutation, Subscription>,
    reader: &DocumentReader,
    text: &str,
) -> Result<Arc<Document>, String>
where
    Query: ObjectType + 'static,
    Mutation: ObjectType + 'static,
    Subscription: SubscriptionType + 'static,
{
    let document = reader.read(text).map_err(|error| error.to_string())?;
    let mut request = Request::new(String::new());
    request.set_parsed_query(document.executable.clone());
    let errors = schema.execute(request).await.errors;
    let faults: Vec<_> = errors
        .into_iter()
        .filter(|error| error.message != VALID)
        .map(|error| error.message)
        .collect();
    if faults.is_empty() {
        Ok(Arc::new(document))
    } else {
        Err(faults.join(" "))
    }
}

/// Error message that stands for "no errors".
const VALID: &str = "valid";

/// Ends each request after validation, before execution.
struct ValidationOnly;

impl ExtensionFactory for ValidationOnly {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for ValidationOnly {
    async fn validation(
        &self,
        context: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        next.run(context).await?;
        Err(vec![ServerError::new(VALID, None)])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rstest::rstest;

    use super::*;
    use crate::test_schema;

    async fn load(manifest: &str) -> Result<TrustedDocuments, ManifestError> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(manifest.as_bytes()).expect("written");
        TrustedDocuments::load(file.path(), &test_schema::reader(), test_schema::schema()).await
    }

    #[rstest]
    #[case::apollo(
        r#"{"format":"apollo-persisted-query-manifest","version":1,"operations":
            [{"id":"1a","name":"Me","type":"query","body":"query Me { me { id } }"}]}"#
    )]
    #[case::map(r#"{"1a":"query Me { me { id } }"}"#)]
    #[case::prefixed(r#"{"sha256:1a":"query Me { me { id } }"}"#)]
    #[tokio::test]
    async fn trusted_documents_are_found_by_id_hash_and_text(#[case] manifest: &str) {
        let trusted = load(manifest).await.expect("fine");
        let text = "query Me { me { id } }";
        assert_eq!(trusted.len(), 1);
        assert!(trusted.by_id("1a").is_ok() && trusted.by_id("sha256:1a").is_ok());
        assert!(trusted.by_id(&hash(text)).is_ok() && trusted.by_text(text).is_ok());
        assert_eq!(trusted.by_id("2").err(), Some(DocumentError::NotInList));
        let other = trusted.by_text("query Me { me {id} }");
        assert_eq!(other.err(), Some(DocumentError::NotTrusted));
    }

    #[tokio::test]
    async fn error_lists_every_faulty_document() {
        let manifest = r#"{
            "fine": "subscription($to: Int!) { count(to: $to) }",
            "fine too": "query A { me { id } } mutation B { signOut { id } }",
            "syntax": "{ me {",
            "field": "{ me { name address } }",
            "argument": "query($id: ID!) { operation(identity: $id) { id } }",
            "long": "{ me { id id id id id id } }"
        }"#
        .replace("id id id id id id", &"id ".repeat(400));
        let Err(ManifestError::Documents(FaultyDocuments(faulty))) = load(&manifest).await else {
            panic!("it is refused");
        };
        let ids: Vec<_> = faulty.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["argument", "field", "long", "syntax"]);
        let told = FaultyDocuments(faulty).to_string();
        assert!(told.contains("name") && told.contains("address"), "{told}");
    }

    #[rstest]
    #[case::map(r#"{"1a":"{ me { id } }","1a":"{ me { email } }"}"#)]
    #[case::prefixed(r#"{"1a":"{ me { id } }","sha256:1a":"{ me { email } }"}"#)]
    #[case::apollo(
        r#"{"format":"apollo-persisted-query-manifest","version":1,"operations":
            [{"id":"1a","body":"{ me { id } }"},{"id":"1a","body":"{ me { email } }"}]}"#
    )]
    #[tokio::test]
    async fn duplicate_ids_are_refused(#[case] manifest: &str) {
        let Err(ManifestError::Documents(faulty)) = load(manifest).await else {
            panic!("it is refused");
        };
        let told = faulty.to_string();
        assert!(
            told.contains("1a") && told.contains("more than once"),
            "{told}"
        );
    }

    #[rstest]
    #[case("")]
    #[case("[]")]
    #[case(r#"{"a":1}"#)]
    #[case(r#"{"format":"other","version":1,"operations":[]}"#)]
    #[tokio::test]
    async fn unknown_manifest_formats_are_refused(#[case] manifest: &str) {
        let refused = load(manifest).await;
        assert!(matches!(refused, Err(ManifestError::Format(_))));
    }
}
