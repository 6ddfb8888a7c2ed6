//! The file of a `SQLite` database, and who has it.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};

use super::{DatabaseError, sqlite_file};

/// Makes sure that no other process serves from the same `SQLite` file, for as long as the lock that
/// is returned lives. Postgres is there to be shared: no lock.
///
/// # Errors
/// [`DatabaseError::InUse`] or [`DatabaseError::File`].
pub fn lock_file(url: &SecretString) -> Result<Option<File>, DatabaseError> {
    let Some(path) = sqlite_file(url.expose_secret()) else {
        return Ok(None);
    };
    let lock = path.with_added_extension("lock");
    let failed = |source| DatabaseError::File {
        path: lock.clone(),
        source,
    };
    create_file(&lock).map_err(failed)?;
    let file = File::open(&lock).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(DatabaseError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes the directories on the way to `file`, for their owner's eyes only.
pub(crate) fn create_directory_of(file: &Path) -> io::Result<()> {
    let Some(directory) = file.parent().filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Makes the file for its owner's eyes only. `SQLite` gives its `-wal` and `-shm` files the same
/// permissions.
pub(super) fn create_file(path: &Path) -> io::Result<()> {
    create_directory_of(path)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}
