//! Field policy: what a product says of its fields that the schema does not.

use std::collections::{HashMap, HashSet};

/// A field of a type, by their names.
type FieldName = (&'static str, &'static str);

/// A product's word on some fields of its schema.
#[derive(Clone, Debug, Default)]
pub struct FieldPolicy {
    slow: HashSet<FieldName>,
    paged: HashMap<FieldName, PagedField>,
}

/// A field that brings a page of rows, each of which counts as a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagedField {
    /// The argument with the length of the page.
    pub argument: &'static str,
    /// Rows of a page whose length is left out.
    pub default: usize,
    /// Rows of the longest page.
    pub longest: usize,
}

impl FieldPolicy {
    /// Lets operations with this field take [`crate::ServerOptions::slow_timeout`] longer.
    #[must_use]
    pub fn slow(mut self, type_name: &'static str, field: &'static str) -> Self {
        self.slow.insert((type_name, field));
        self
    }

    /// Has each row of this field's page count as a field.
    #[must_use]
    pub fn paged(mut self, type_name: &'static str, field: &'static str, page: PagedField) -> Self {
        self.paged.insert((type_name, field), page);
        self
    }

    /// The fields that it is about, each with its type.
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
