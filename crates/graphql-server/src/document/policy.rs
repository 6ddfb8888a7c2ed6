//! Field policy: properties of a product's fields that the schema does not express.

use std::collections::{HashMap, HashSet};

/// Name of a type and name of one of its fields.
type FieldName = (&'static str, &'static str);

/// Properties of some fields of a schema.
#[derive(Clone, Debug, Default)]
pub struct FieldPolicy {
    slow: HashSet<FieldName>,
    paged: HashMap<FieldName, PagedField>,
}

/// Field that returns a page of rows, each of which counts as a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagedField {
    /// Argument with the length of the page.
    pub argument: &'static str,
    /// Rows of a page without the argument.
    pub default: usize,
    /// Rows of the longest page.
    pub longest: usize,
}

impl FieldPolicy {
    /// Lets operations with this field run [`crate::ServerOptions::slow_timeout`] longer.
    #[must_use]
    pub fn slow(mut self, type_name: &'static str, field: &'static str) -> Self {
        self.slow.insert((type_name, field));
        self
    }

    /// Counts each row of this field's page as a field.
    #[must_use]
    pub fn paged(mut self, type_name: &'static str, field: &'static str, page: PagedField) -> Self {
        self.paged.insert((type_name, field), page);
        self
    }

    /// Lists the fields of the policy, each after its type.
    pub fn fields(&self) -> impl Iterator<Item = FieldName> {
        self.slow.iter().chain(self.paged.keys()).copied()
    }

    pub(super) fn is_slow(&self, type_name: &str, field: &str) -> bool {
        let mut slow = self.slow.iter();
        slow.any(|name| *name == (type_name, field))
    }

    pub(super) fn page(&self, type_name: &str, field: &str) -> Option<PagedField> {
        let mut paged = self.paged.iter();
        let found = paged.find(|(name, _)| **name == (type_name, field));
        found.map(|(_, page)| *page)
    }
}
