//! Files that are nobody's business but the owner's, and how to mend those that others have access to.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::platform::shell;

/// Bits of a file's mode: group and others may read, write or run it.
const ANY: u32 = 0o077;
/// Group and others may write it.
const WRITE: u32 = 0o022;

/// What others than a file's owner must not do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Neither read nor write it: it holds secrets.
    Any,
    /// Write it: it decides whom and what the gateway trusts.
    Write,
}

/// A file whose permissions are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What others must not have.
    pub forbidden: Access,
}

impl WatchedFile {
    /// One that holds secrets.
    pub(super) fn secret(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            forbidden: Access::Any,
        }
    }

    /// One that is trusted.
    pub(super) fn trusted(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            forbidden: Access::Write,
        }
    }

    /// Says that others have access, and the command that mends it; none where all is well, or no file.
    pub fn complaint(&self) -> Option<String> {
        let mode = fs::metadata(&self.path).ok()?.permissions().mode();
        let (bits, verb, change) = match self.forbidden {
            Access::Any => (ANY, "read or write", "go-rwx"),
            Access::Write => (WRITE, "write", "go-w"),
        };
        (mode & bits != 0).then(|| {
            let (path, quoted) = (self.path.display(), operand(&self.path));
            format!("others than its owner may {verb} {path}: chmod {change} {quoted}")
        })
    }
}

/// The path as a command takes it for a file.
fn operand(path: &Path) -> String {
    let path = path.display().to_string();
    let word = shell::word(&path);
    if path.starts_with('-') {
        return format!("-- {word}");
    }
    word
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    #[rstest]
    #[case(Access::Any, 0o600, None)]
    #[case(Access::Any, 0o700, None)]
    #[case(Access::Any, 0o640, Some("chmod go-rwx "))]
    #[case(Access::Any, 0o604, Some("chmod go-rwx "))]
    #[case(Access::Any, 0o620, Some("chmod go-rwx "))]
    #[case(Access::Write, 0o644, None)]
    #[case(Access::Write, 0o664, Some("chmod go-w "))]
    fn what_others_may_do_is_told(
        #[case] forbidden: Access,
        #[case] mode: u32,
        #[case] expected: Option<&str>,
    ) {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let complaint = WatchedFile { path, forbidden }.complaint();
        assert_eq!(complaint.is_some(), expected.is_some(), "{complaint:?}");
        assert!(
            complaint
                .unwrap_or_default()
                .contains(expected.unwrap_or_default())
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_nothing_to_complain_of() {
        assert_eq!(WatchedFile::secret("no/such/file").complaint(), None);
    }

    #[rstest]
    #[case("data/gateway.sqlite-wal", "data/gateway.sqlite-wal")]
    #[case("it's here", r"'it'\''s here'")]
    #[case("-x", "-- -x")]
    fn the_command_takes_the_path_for_one_word(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(operand(Path::new(path)), expected);
    }
}
