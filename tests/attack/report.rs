//! What became of the cases, for people.

use std::process::ExitCode;

/// What came of one area: a line for each case that failed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) cases: usize,
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// One more case, and what is wrong with what came of it.
    pub(crate) fn case(&mut self, name: &str, result: Result<(), String>) {
        self.cases += 1;
        if let Err(problem) = result {
            self.failures.push(format!("{name}: {problem}"));
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    cases: usize,
    failures: usize,
}

impl Report {
    pub(crate) fn add(&mut self, area: &str, outcome: Outcome) {
        let Outcome { cases, failures } = outcome;
        println!("{area}: {cases} cases, {} failed", failures.len());
        for failure in &failures {
            println!("  FAILED {failure}");
        }
        self.cases += cases;
        self.failures += failures.len();
    }

    pub(crate) fn finish(self, least: usize) -> ExitCode {
        println!("attacks: {} cases, {} failed", self.cases, self.failures);
        assert!(
            self.cases >= least,
            "cases are missing: at least {least} are due"
        );
        if self.failures == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
