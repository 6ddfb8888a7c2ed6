//! The field policy: what the schema itself does not say of its fields.
//!
//! Mutations that take a secret stand once in a request: that is read off the schema, by its secret mark.

use graphql_server::document::{FieldPolicy, PagedField};

use crate::audit::{DEFAULT_PAGE, LONGEST_PAGE};

/// The policy of the gateway's fields.
pub(super) fn fields() -> FieldPolicy {
    FieldPolicy::default()
        // Runs a browser.
        .slow("Connection", "claims")
        .paged("User", "auditTrail", AUDIT_TRAIL)
}

const AUDIT_TRAIL: PagedField = PagedField {
    argument: "first",
    default: DEFAULT_PAGE as usize,
    longest: LONGEST_PAGE as usize,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    #[test]
    fn every_field_of_the_policy_is_in_the_schema() {
        let types = api::types();
        for (type_name, field) in fields().fields() {
            assert!(types.has_field(type_name, field), "{type_name}.{field}");
        }
    }
}
