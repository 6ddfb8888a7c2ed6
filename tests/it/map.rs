//! The map of the project: what README, ARCHITECTURE and the pages under `docs` name is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of README that says where to find what.
fn find_your_way() -> String {
    let readme = read("README.md");
    let section = readme.split_once("\n## Find your way\n").unwrap().1;
    section.split("\n## ").next().unwrap().to_owned()
}

/// The names in a folder, without those that git ignores.
fn entries(folder: &str) -> Vec<String> {
    let ignored = read(".gitignore");
    let ignored: BTreeSet<_> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| !ignored.contains(name.as_str()))
        .collect()
}

fn folders(folder: &str) -> Vec<String> {
    let mut names = entries(folder);
    names.retain(|name| root().join(folder).join(name).is_dir());
    names
}

/// The Markdown files in a folder, by their path from the root.
fn pages(folder: &str) -> Vec<PathBuf> {
    let names = entries(folder).into_iter();
    let pages = names.map(|name| Path::new(folder).join(name));
    pages
        .filter(|page| page.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// Pages whose links are followed.
fn linking_pages() -> Vec<PathBuf> {
    let mut pages = [pages(""), pages("docs"), pages("docs/decisions")].concat();
    for folder in ["crates", "examples"] {
        let readmes = folders(folder).into_iter();
        let readmes = readmes.map(|name| Path::new(folder).join(name).join("README.md"));
        pages.extend(readmes.filter(|readme| root().join(readme).exists()));
    }
    pages
}

/// The text without its fenced blocks.
fn prose(page: &str) -> String {
    let parts = page.split("```").step_by(2);
    parts.collect()
}

/// The paths that a text names: what looks like one, in code in prose and in trees.
fn paths(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let code = prose.split('`').skip(1).step_by(2).map(str::to_owned);
    let trees = text.split("```text\n").skip(1);
    let trees = trees.filter_map(|tree| tree.split("```").next());
    let words = trees.flat_map(str::split_whitespace);
    let words = words.map(|word| word.trim_matches(|c| "(),:;".contains(c)).to_owned());
    code.chain(words).filter(|word| is_path(word)).collect()
}

fn is_path(code: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let file = [".rs", ".md", ".toml", ".yml", ".graphql"];
    code.chars().all(plain)
        && !code.starts_with('/')
        && (code.contains('/') || file.iter().any(|end| code.ends_with(end)))
}

/// The targets of a page's links, without those that lead elsewhere in the world.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .map(str::to_owned)
        .collect()
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> Vec<String> {
    let prose = prose(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    headings
        .map(|heading| heading.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter(kept).collect::<String>())
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

fn assert_named_paths_exist(page: &str, text: &str) {
    let named = paths(text);
    assert!(named.len() > 20, "{page}: {named:?}");
    let missing: Vec<_> = named
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "{page} names what is not there: {missing:?}"
    );
}

#[test]
fn paths_in_find_your_way_exist() {
    assert_named_paths_exist("README.md", &find_your_way());
}

#[test]
fn paths_in_architecture_exist() {
    assert_named_paths_exist("ARCHITECTURE.md", &read("ARCHITECTURE.md"));
}

#[test]
fn find_your_way_names_every_top_level_folder() {
    let named = paths(&find_your_way());
    let folders = folders("")
        .into_iter()
        .filter(|name| !name.starts_with('.'));
    let missing: Vec<_> = folders
        .filter(|name| !named.contains(&format!("{name}/")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn architecture_names_every_folder_of_the_code() {
    let named = paths(&read("ARCHITECTURE.md"));
    for parent in ["crates", "src"] {
        for name in folders(parent) {
            let path = format!("{parent}/{name}/");
            assert!(named.contains(&path), "{path} is missing");
        }
    }
}

#[test]
fn index_links_every_page() {
    let linked = links(&read("docs/README.md"));
    for page in [pages("docs"), pages("docs/decisions")].concat() {
        let path = page.strip_prefix("docs").unwrap().to_str().unwrap();
        let linked = linked.iter().any(|link| link == path);
        assert!(linked || path == "README.md", "{path} is not linked");
    }
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let pages = linking_pages();
    assert!(pages.len() > 30, "{pages:?}");
    for page in pages {
        let text = read(&page);
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let target = root().join(page.parent().unwrap()).join(file);
            let target = if file.is_empty() {
                root().join(&page)
            } else {
                target
            };
            assert!(
                target.exists(),
                "{}: {link} leads to nothing",
                page.display()
            );
            let known = anchor.is_empty() || anchors(&read(&target)).iter().any(|a| a == anchor);
            assert!(
                known,
                "{}: {link} leads to no heading there",
                page.display()
            );
        }
    }
}
