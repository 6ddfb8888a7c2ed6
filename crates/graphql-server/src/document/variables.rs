//! Variables, checked against their declarations before an operation runs.
//!
//! async-graphql evaluates `@skip` and `@include` with the variables that were sent, without their
//! defaults.

use async_graphql::{
    Name, Positioned, Value, Variables,
    parser::types::{OperationDefinition, VariableDefinition},
};

use super::DocumentError;

/// Sets defaults for absent variables, as the specification's `CoerceVariableValues` does.
///
/// Undeclared variables are dropped, so that they are not held for as long as the operation runs. Other
/// types are checked where arguments are read.
///
/// # Errors
///
/// A required variable is absent or null, or one of `conditions` is no boolean: async-graphql takes
/// anything else for `false`.
pub(super) fn coerce(
    operation: &OperationDefinition,
    conditions: &[Name],
    variables: &mut Variables,
) -> Result<(), DocumentError> {
    let declared = &operation.variable_definitions;
    variables.retain(|name, _| declared.iter().any(|other| other.node.name.node == *name));
    for definition in declared {
        let VariableDefinition {
            name,
            var_type,
            default_value,
            ..
        } = &definition.node;
        if let Some(default) = default_value
            && !variables.contains_key(&name.node)
        {
            variables.insert(name.node.clone(), default.node.clone());
        }
        let fits = match variables.get(&name.node) {
            Some(Value::Boolean(_)) => true,
            _ if conditions.contains(&name.node) => false,
            None | Some(Value::Null) => var_type.node.nullable,
            Some(_) => true,
        };
        if !fits {
            return Err(refused(definition));
        }
    }
    Ok(())
}

fn refused(definition: &Positioned<VariableDefinition>) -> DocumentError {
    DocumentError::Variable {
        name: definition.node.name.node.clone(),
        position: definition.pos,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Pos, parser::parse_query};
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn coerced(query: &str, sent: serde_json::Value) -> Result<serde_json::Value, DocumentError> {
        let document = parse_query(query).expect("a document");
        let (_, operation) = document.operations.iter().next().expect("an operation");
        let mut variables = Variables::from_json(sent);
        coerce(&operation.node, &[Name::new("if")], &mut variables)?;
        Ok(serde_json::to_value(variables).expect("JSON"))
    }

    #[rstest]
    #[case("{ a }", json!({ "b": 1 }), json!({}))]
    #[case("query($b: Int) { a }", json!({}), json!({}))]
    #[case("query($b: Int) { a }", json!({ "b": null, "c": 1 }), json!({ "b": null }))]
    #[case("query($b: Int = 5) { a }", json!({}), json!({ "b": 5 }))]
    #[case("query($b: Int = 5) { a }", json!({ "b": null }), json!({ "b": null }))]
    #[case("query($b: Int = 5) { a }", json!({ "b": 6 }), json!({ "b": 6 }))]
    #[case("query($b: Int = null) { a }", json!({}), json!({ "b": null }))]
    #[case("query($b: Int! = 5) { a }", json!({}), json!({ "b": 5 }))]
    #[case("query($b: [Int!]! = [5], $c: Boolean! = true) { a }", json!({ "c": false }), json!({ "b": [5], "c": false }))]
    fn absent_variables_get_their_defaults(
        #[case] query: &str,
        #[case] sent: serde_json::Value,
        #[case] expected: serde_json::Value,
    ) {
        assert_eq!(coerced(query, sent), Ok(expected));
    }

    #[rstest]
    #[case("query($b: Int!) { a }", json!({}), "b")]
    #[case("query($b: Int!) { a }", json!({ "b": null }), "b")]
    #[case("query($b: Int! = 5) { a }", json!({ "b": null }), "b")]
    #[case("query($if: Boolean = true) { a }", json!({ "if": null }), "if")]
    #[case("query($if: Boolean!) { a }", json!({ "if": "true" }), "if")]
    #[case("query($if: Boolean!) { a }", json!({ "if": 1 }), "if")]
    #[case("query($if: Boolean) { a }", json!({}), "if")]
    fn missing_or_unfit_variables_are_refused(
        #[case] query: &str,
        #[case] sent: serde_json::Value,
        #[case] name: &str,
    ) {
        let refused = DocumentError::Variable {
            name: Name::new(name),
            position: Pos { line: 1, column: 7 },
        };
        assert_eq!(coerced(query, sent), Err(refused));
    }
}
