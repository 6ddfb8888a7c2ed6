//! Understands single settings, and collects what is wrong with them instead of stopping at the
//! first.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use clap::{Command, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

use super::problem::{Problem, Problems};

/// The shortest that a wait or a pause can be: none at all would never wait, or never stop asking.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
/// A year; longer ones are mistakes, and would overflow dates.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// Reads settings of one command. A setting that cannot be read is `None`, and noted.
pub(super) struct Reader<'a> {
    command: &'a Command,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Settings are explained as in the help of `command`.
    pub(super) fn new(command: &'a Command) -> Self {
        Self {
            command,
            problems: Vec::new(),
        }
    }

    /// What was read, unless anything is wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Problems> {
        match read {
            Some(read) if self.problems.is_empty() => Ok(read),
            _ => Err(Problems(self.problems)),
        }
    }

    pub(super) fn note(&mut self, setting: &'static str, fault: impl Display) {
        self.problems.push(Problem {
            setting: setting.to_owned(),
            fault: fault.to_string(),
            about: self.about(setting),
        });
    }

    /// `text` as `read` understands it.
    pub(super) fn read<T>(
        &mut self,
        setting: &'static str,
        text: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(text.trim());
        if value.is_none() {
            // Debug quotes and escapes it; the cut keeps a whole file pasted here off the terminal.
            let shown: String = text.chars().take(100).collect();
            if text.contains('@') {
                // An address with a password in it, perhaps.
                self.note(setting, format_args!("is not {expected}"));
            } else {
                self.note(
                    setting,
                    format_args!("is {shown:?}, which is not {expected}"),
                );
            }
        }
        value
    }

    /// What stands between commas, each as `read` understands it. Only commas are no list: what was to be named
    /// there has got lost.
    pub(super) fn list<T>(
        &mut self,
        setting: &'static str,
        list: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let texts = list.split(',').map(str::trim);
        let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
        if texts.is_empty() && !list.trim().is_empty() {
            self.note(
                setting,
                format_args!("has commas and names nothing: write {expected}"),
            );
            return None;
        }
        let read = texts
            .into_iter()
            .map(|text| self.read(setting, text, expected, &read));
        // All, so that each that is wrong is told.
        let read: Vec<_> = read.collect();
        read.into_iter().collect()
    }

    pub(super) fn duration(
        &mut self,
        setting: &'static str,
        text: &str,
        shortest: Duration,
    ) -> Option<Duration> {
        let expected = "a duration such as 500ms, 1s or 15m";
        let duration = self.read(setting, text, expected, |text| {
            humantime::parse_duration(text).ok()
        })?;
        if (shortest..=LONGEST).contains(&duration) {
            return Some(duration);
        }
        let shortest = humantime::format_duration(shortest);
        self.note(
            setting,
            format_args!("is {text}, which is not between {shortest} and 365d"),
        );
        None
    }

    pub(super) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        setting: &'static str,
        text: &str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.read(setting, text, &expected, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    pub(super) fn switch(&mut self, setting: &'static str, text: &str) -> Option<bool> {
        self.read(setting, text, "true or false", |text| {
            match text.to_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Some(true),
                "false" | "off" | "no" | "0" => Some(false),
                _ => None,
            }
        })
    }

    pub(super) fn choice<T: ValueEnum>(&mut self, setting: &'static str, text: &str) -> Option<T> {
        let names: Vec<String> = T::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        let expected = format!("one of {}", names.join(", "));
        self.read(setting, text, &expected, |text| {
            T::from_str(text, true).ok()
        })
    }

    /// A setting that must be there.
    pub(super) fn required<'t, T>(
        &mut self,
        setting: &'static str,
        value: Option<&'t T>,
    ) -> Option<&'t T> {
        if value.is_none() {
            self.note(setting, "is missing");
        }
        value
    }

    /// A secret that is understood, but never shown.
    pub(super) fn secret<T>(
        &mut self,
        setting: &'static str,
        secret: &SecretString,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(secret.expose_secret());
        if value.is_none() {
            self.note(setting, format_args!("is not {expected}"));
        }
        value
    }

    fn about(&self, setting: &str) -> String {
        let flag = setting
            .trim_start_matches("--")
            .to_lowercase()
            .replace('_', "-");
        self.command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(&flag))
            .and_then(clap::Arg::get_help)
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}
