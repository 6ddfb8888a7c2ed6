//! The rules of the house: which part may use which, the words of the server crate, and the length of files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The parts of `src`, and the parts that each may use; all may use the platform.
const MAY_USE: [(&str, &[&str]); 9] = [
    (
        "app",
        &[
            "accounts",
            "api",
            "audit",
            "connections",
            "operations",
            "settings",
            "webhooks",
        ],
    ),
    ("settings", &["accounts", "webhooks"]),
    ("api", &["accounts", "audit", "connections", "operations"]),
    (
        "operations",
        &["accounts", "audit", "connections", "webhooks"],
    ),
    ("connections", &["accounts", "audit", "webhooks"]),
    ("accounts", &["audit"]),
    ("audit", &[]),
    ("webhooks", &[]),
    ("platform", &[]),
];

/// The crates of Intuned and of GraphQL, and the parts that may name them.
const MAY_NAME: [(&str, &[&str]); 3] = [
    ("graphql_server", &["api", "app", "settings"]),
    (
        "intuned_client",
        &["api", "app", "connections", "operations", "settings"],
    ),
    ("intuned_simulator", &["app", "settings"]),
];

/// Words of the product, which the server crate does not know.
const PRODUCT: [&str; 4] = ["intuned", "orangehrm", "claims", "audit trail"];

/// Lines that a file of code may have.
const LONGEST_FILE: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below with this ending, but for what is built or installed.
fn files(below: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules" | "dist") {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// The paths that a file imports, each as `a::b`.
fn imports(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut imports = Vec::new();
    for statement in code.split(';') {
        let line = statement.lines().find(|line| {
            let line = line.trim_start();
            line.starts_with("use ") || line.starts_with("pub") && line.contains(" use ")
        });
        if let Some(line) = line {
            let from = statement.find(line).unwrap();
            let (_, tree) = statement[from..].split_once("use ").unwrap();
            let tree: String = tree.split_whitespace().collect();
            flatten("", &tree, &mut imports);
        }
    }
    imports
}

/// Adds each path of a tree such as `a::{b,c::d}`.
fn flatten(before: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((stem, rest)) = tree.split_once('{') else {
        paths.push(format!("{before}{tree}"));
        return;
    };
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0, 0);
    let ends = inner.char_indices().chain([(inner.len(), ',')]);
    for (index, letter) in ends {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = &inner[start..index];
                if !part.is_empty() {
                    flatten(&format!("{before}{stem}"), part, paths);
                }
                start = index + 1;
            }
            _ => {}
        }
    }
}

/// The imports of each part of `src`, with the file that has them.
fn imports_of_parts() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let mut parts: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let src = root().join("src");
    for file in files(&src, ".rs") {
        let below = file.strip_prefix(&src).unwrap().to_owned();
        let part = below.components().next().unwrap().as_os_str();
        let part = part.to_string_lossy().into_owned();
        let imports = imports(&file).into_iter();
        let imports = imports.map(|import| (below.clone(), import));
        parts.entry(part).or_default().extend(imports);
    }
    parts
}

#[test]
fn parts_use_only_what_is_below_them() {
    let parts = imports_of_parts();
    let mut wrong = BTreeSet::new();
    for (part, allowed) in MAY_USE {
        for (file, import) in &parts[part] {
            let Some(used) = import.strip_prefix("crate::") else {
                continue;
            };
            let used = used.split("::").next().unwrap();
            let own = used == part || used == "platform" || used == "fuzzing";
            if !own && !allowed.contains(&used) {
                wrong.insert(format!("{} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_are_named_by_the_parts_that_may_name_them() {
    let parts = imports_of_parts();
    let mut wrong = BTreeSet::new();
    for (name, allowed) in MAY_NAME {
        for (part, imports) in &parts {
            let is_part = MAY_USE.iter().any(|(known, _)| known == part);
            if !is_part || allowed.contains(&part.as_str()) {
                continue;
            }
            let named = imports
                .iter()
                .filter(|(_, import)| import.split("::").next() == Some(name));
            wrong.extend(named.map(|(file, _)| format!("{} names {name}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_do_not_depend_on_the_product() {
    for manifest in files(&root().join("crates"), "Cargo.toml") {
        let text = fs::read_to_string(&manifest).unwrap();
        for product in ["intuned-gateway", "entity", "migration"] {
            let depends = text.lines().any(|line| {
                let name = line.split(['=', '.', ' ']).next();
                name == Some(product)
            });
            assert!(!depends, "{} depends on {product}", manifest.display());
        }
    }
}

#[test]
fn the_server_crate_knows_no_word_of_the_product() {
    let mut known = Vec::new();
    for file in files(&root().join("crates/graphql-server/src"), ".rs") {
        let text = fs::read_to_string(&file).unwrap().to_lowercase();
        let words = PRODUCT.iter().filter(|word| text.contains(**word));
        known.extend(words.map(|word| format!("{} says {word}", file.display())));
    }
    assert!(known.is_empty(), "{known:#?}");
}

#[test]
fn no_file_of_code_is_too_long() {
    let mut long = Vec::new();
    for folder in [
        "src",
        "crates",
        "entity",
        "migration",
        "tests",
        "benches",
        "fuzz",
    ] {
        for file in files(&root().join(folder), ".rs") {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            if lines > LONGEST_FILE {
                long.push(format!("{} has {lines} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}
