//! The file `.env`: what it adds to the environment.

use std::path::Path;

use super::SettingsError;

/// Where it is.
pub(super) const FILE: &str = ".env";

/// Adds the variables in the file `.env` in the working directory, if there is one, to those of the
/// environment that are not set. Call it while the program has one thread.
///
/// # Errors
/// [`SettingsError::DotEnv`] or [`SettingsError::DotEnvFile`].
pub fn read_dot_env() -> Result<(), SettingsError> {
    match dotenvy::from_path(Path::new(FILE)) {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(dotenvy::Error::Io(error)) => Err(SettingsError::DotEnvFile(error)),
        Err(_) => Err(SettingsError::DotEnv),
    }
}
