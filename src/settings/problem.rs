//! What is wrong with the settings, told in full before anything is served.

use std::fmt::{self, Display};

use super::misspellings::misspellings;

/// One setting that the gateway cannot start with.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its environment variable, or its flag where it has none.
    pub setting: String,
    /// What is wrong with it.
    pub fault: String,
    /// What it is for and where to get it, in the words of `--help`.
    pub about: String,
}

/// Everything that is wrong with the settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// With the names in `.env` and the environment that are no settings: one of them may be why another is missing.
    pub(super) fn with_misspellings(mut self) -> Self {
        let misspelt = misspellings().into_iter().map(|one| Problem {
            fault: format!(
                "in {} is no setting; the nearest is {}",
                one.place, one.nearest
            ),
            setting: one.name,
            about: String::new(),
        });
        self.0.extend(misspelt);
        self
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "the gateway cannot start: a setting needs attention")?,
            count => writeln!(
                f,
                "the gateway cannot start: {count} settings need attention"
            )?,
        }
        for problem in &self.0 {
            writeln!(f, "\n  {} {}", problem.setting, problem.fault)?;
            if !problem.about.is_empty() {
                writeln!(f, "    {}.", problem.about)?;
            }
        }
        writeln!(f, "\n`intuned-gateway --help` shows every setting.")
    }
}

impl std::error::Error for Problems {}
