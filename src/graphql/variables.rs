//! Variables, held against what the operation declares before it runs: async-graphql decides what `@skip`
//! and `@include` leave out by the variables that were sent alone, without their defaults.

use async_graphql::{
    Positioned, Value, Variables,
    parser::types::{OperationDefinition, VariableDefinition},
};

use super::limits::DocumentError;

/// Gives absent variables their defaults, as the specification's `CoerceVariableValues` does, and drops
/// those that the operation does not declare: nothing would look at them, and they would be held for as
/// long as it runs. What fits the types is seen to where arguments are read.
///
/// # Errors
///
/// A variable is absent or null that must not be.
pub(crate) fn coerce(
    operation: &OperationDefinition,
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
        match (variables.get(&name.node), default_value) {
            (None, Some(default)) => {
                variables.insert(name.node.clone(), default.node.clone());
            }
            (None | Some(Value::Null), _) if !var_type.node.nullable => {
                return Err(refused(definition));
            }
            _ => {}
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
        coerce(&operation.node, &mut variables)?;
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
    fn defaults_stand_in_for_what_is_absent(
        #[case] query: &str,
        #[case] sent: serde_json::Value,
        #[case] expected: serde_json::Value,
    ) {
        assert_eq!(coerced(query, sent), Ok(expected));
    }

    #[rstest]
    #[case("query($b: Int!) { a }", json!({}))]
    #[case("query($b: Int!) { a }", json!({ "b": null }))]
    #[case("query($b: Int! = 5) { a }", json!({ "b": null }))]
    fn what_must_not_be_null_is_needed(#[case] query: &str, #[case] sent: serde_json::Value) {
        let refused = DocumentError::Variable {
            name: async_graphql::Name::new("b"),
            position: Pos { line: 1, column: 7 },
        };
        assert_eq!(coerced(query, sent), Err(refused));
    }
}
