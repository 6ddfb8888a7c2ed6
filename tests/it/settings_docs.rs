//! The pages that tell of settings, held against the program's own help.

use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::settings::run_in;

/// The settings that the help of these arguments names, each with its default or an empty text.
fn in_help(args: &[&str]) -> BTreeMap<String, String> {
    let help = run_in(&TempDir::new().unwrap(), args, &[]).stdout;
    let help = String::from_utf8(help).unwrap();
    let settings = help.split("[env: ").skip(1).map(|setting| {
        let (name, rest) = setting.split_once(']').unwrap();
        let default = rest.split_once("[default: ");
        let default = default.and_then(|(_, default)| default.split_once(']'));
        (name.to_owned(), default.map_or("", |(default, _)| default))
    });
    settings
        .map(|(name, default)| (name, default.to_owned()))
        .collect()
}

/// Settings of all subcommands.
fn every_setting() -> BTreeMap<String, String> {
    let help = run_in(&TempDir::new().unwrap(), &["--help"], &[]).stdout;
    let help = String::from_utf8(help).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.map_while(|line| line.split_whitespace().next());
    let mut settings = BTreeMap::new();
    for command in commands.filter(|command| *command != "help") {
        for (name, default) in in_help(&[command, "--help"]) {
            let known = settings.insert(name.clone(), default.clone());
            assert!(
                known.is_none_or(|known| known == default),
                "{name} has two defaults"
            );
        }
    }
    settings
}

/// The rows of a page's tables that begin with a setting, each as its cells.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn name<'a>(row: &[&'a str]) -> &'a str {
    row[0].trim_matches('`')
}

#[test]
fn settings_page_has_one_row_for_each_setting() {
    let page = include_str!("../../docs/settings.md");
    let mut documented: Vec<_> = rows(page).iter().map(|row| name(row)).collect();
    documented.sort_unstable();
    let settings = every_setting();
    assert!(settings.contains_key("LISTEN_ADDR"), "{settings:?}");
    assert_eq!(documented, settings.keys().collect::<Vec<_>>());
}

#[test]
fn settings_page_tells_each_default_and_meaning() {
    let settings = every_setting();
    for row in rows(include_str!("../../docs/settings.md")) {
        let [_, default, meaning] = row[..] else {
            panic!("{row:?}")
        };
        let expected = &settings[name(&row)];
        if expected.is_empty() {
            assert!(!default.is_empty(), "{row:?}");
        } else {
            assert_eq!(default, format!("`{expected}`"), "{row:?}");
        }
        assert!(meaning.ends_with('.'), "{row:?}");
    }
}

#[test]
fn readme_names_settings_that_exist() {
    let readme = include_str!("../../README.md");
    let settings = readme.split_once("\n## Settings\n").unwrap().1;
    let settings = settings.split("\n## ").next().unwrap();
    let rows = rows(settings);
    assert!(!rows.is_empty());
    let known = every_setting();
    for row in rows {
        assert!(known.contains_key(name(&row)), "{row:?}");
    }
}

#[test]
fn the_example_file_has_every_setting_with_its_default() {
    let example = include_str!("../../.env.example");
    let written: BTreeMap<_, _> = example
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once('='))
        .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .map(|(name, default)| (name.to_owned(), default.to_owned()))
        .collect();
    assert_eq!(written, in_help(&["--help"]));
}
