//! The integration tests, in one binary.
#[test]
fn sdl() {
    std::fs::write("/tmp/sdl.graphql", intuned_gateway::graphql::sdl()).unwrap();
}
