//! Hashes of documents, by which clients ask for them.

use sha2::{Digest, Sha256};

/// Prefix of ids that are SHA-256 hashes. It is removed before ids are compared.
///
/// <https://github.com/graphql/graphql-over-http/blob/main/spec/Appendix%20A%20--%20Persisted%20Documents.md>
const HASH_PREFIX: &str = "sha256:";

/// Computes the text's SHA-256 in lower-case hexadecimal digits.
pub(super) fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// Removes the prefix that marks an id as a hash.
pub(super) fn strip_prefix(id: &str) -> &str {
    id.strip_prefix(HASH_PREFIX).unwrap_or(id)
}
