//! Manifests of trusted documents, in the formats of Apollo and of Relay.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// File of trusted documents.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Manifest {
    /// <https://www.apollographql.com/docs/graphos/platform/security/persisted-queries#manifest-format>
    Apollo {
        #[serde(rename = "format")]
        _format: ApolloFormat,
        operations: Vec<ApolloOperation>,
    },
    /// Map from ids to documents, as Relay's compiler and graphql-codegen's client preset write it.
    Map(#[serde(deserialize_with = "entries")] Vec<(String, String)>),
}

impl Manifest {
    /// Lists ids and texts, sorted by id.
    pub(super) fn documents(self) -> Vec<(String, String)> {
        let mut documents: Vec<_> = match self {
            Self::Apollo { operations, .. } => operations
                .into_iter()
                .map(|operation| (operation.id, operation.body))
                .collect(),
            Self::Map(documents) => documents,
        };
        documents.sort();
        documents
    }
}

/// Reads the members of an object, including repeated ones.
fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object from ids to documents")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Entries)
}

#[derive(Deserialize)]
pub(super) enum ApolloFormat {
    #[serde(rename = "apollo-persisted-query-manifest")]
    PersistedQueryManifest,
}

#[derive(Deserialize)]
pub(super) struct ApolloOperation {
    id: String,
    body: String,
}
