//! How each server is started.

use std::env;

use crate::{process::Recipe, seed::SECRET};

/// The gateway as it is released. Its log says what is wrong only: the peers have none at all.
pub(crate) fn gateway(name: &'static str, database_url: &str, upstream: &str) -> Recipe {
    let program = env::var("GATEWAY_BIN").expect("run by scripts/bench");
    Recipe::new(name, program)
        .env("DATABASE_URL", database_url)
        .env("AUTH_SECRET", SECRET)
        .env("INTUNED_API_KEY", "key")
        .env("INTUNED_WORKSPACE_ID", "workspace")
        .env("INTUNED_PROJECT_NAME", "project")
        .env("INTUNED_BASE_URL", upstream)
        // Counted, but never too many.
        .env("CONNECT_TRIES", "1000000")
        .env("CONNECT_TRIES_PER_CLIENT", "1000000")
        // Each status that is read is asked of Intuned, as the peers ask.
        .env("STATUS_TRIES", "0")
        .env("RUN_TRIES", "0")
        .env("RUST_LOG", "warn")
        .ready_path("/health/ready")
}

/// One of the peers, in production mode.
pub(crate) fn peer(name: &'static str, database_url: &str, upstream: &str) -> Recipe {
    Recipe::new(name, "node")
        .arg(format!("benches/peers/src/{name}.mjs"))
        .env("NODE_ENV", "production")
        .env("DATABASE_URL", database_url)
        .env("AUTH_SECRET", SECRET)
        .env("INTUNED_API_KEY", "key")
        .env("INTUNED_WORKSPACE_ID", "workspace")
        .env("INTUNED_PROJECT_NAME", "project")
        .env("INTUNED_BASE_URL", upstream)
}

/// Those of the servers that are named on the command line, or all: what is being worked on needs no look
/// at the peers each time.
pub(crate) fn named(mut recipes: Vec<Recipe>) -> Vec<Recipe> {
    let named: Vec<String> = env::args().skip(2).collect();
    recipes.retain(|recipe| named.is_empty() || named.iter().any(|name| name == recipe.name));
    recipes
}

/// Does nothing but what cannot be left out; answers with `answer`.
pub(crate) fn bare(name: &'static str, answer: &str) -> Recipe {
    let program = env::current_exe()
        .expect("this program")
        .with_file_name("bare");
    Recipe::new(name, program.display().to_string())
        .env("ANSWER", answer)
        .ready_path("/health/ready")
}
