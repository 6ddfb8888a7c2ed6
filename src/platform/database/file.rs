//! The file of a `SQLite` database, and who has it.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};

use super::{DatabaseError, sqlite_file};

/// Makes sure that no other process serves from the same `SQLite` file, whatever it calls it, for as long as the
/// lock that is returned lives. Postgres is there to be shared: no lock.
///
/// # Errors
/// [`DatabaseError::InUse`] or [`DatabaseError::File`].
pub fn lock_file(url: &SecretString) -> Result<Option<File>, DatabaseError> {
    let Some(path) = sqlite_file(url.expose_secret()) else {
        return Ok(None);
    };
    if is_in_use_by_a_release_before(&path) {
        return Err(DatabaseError::InUse { path });
    }
    match create_file(&path).and_then(|()| lock::take(&path)) {
        Ok(Some(file)) => Ok(Some(file)),
        Ok(None) => Err(DatabaseError::InUse { path }),
        Err(source) => Err(DatabaseError::File { path, source }),
    }
}

/// Tells whether a gateway has the lock that releases before this one took, on a file beside the database's.
fn is_in_use_by_a_release_before(path: &Path) -> bool {
    let lock = File::open(path.with_added_extension("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// On the file itself, so that it goes by neither name nor directory.
#[cfg(target_os = "linux")]
mod lock {
    use std::{
        fs::{File, OpenOptions},
        io,
        path::Path,
    };

    use nix::{
        errno::Errno,
        fcntl::{FcntlArg, fcntl},
        libc,
    };

    /// Far behind all that `SQLite` locks or writes: its files have 2^48 bytes at most.
    const BYTE: i64 = 1 << 62;

    /// None when somebody has it. Locks of an open file stand beside those that `SQLite` takes, which are the
    /// process's, and unlike them outlive that another descriptor of the file is closed.
    pub(super) fn take(path: &Path) -> io::Result<Option<File>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let lock = libc::flock {
            l_type: narrow(libc::F_WRLCK)?,
            l_whence: narrow(libc::SEEK_SET)?,
            l_start: BYTE,
            l_len: 1,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(Some(file)),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn narrow(constant: i32) -> io::Result<i16> {
        constant.try_into().map_err(io::Error::other)
    }
}

/// On a file beside it, where a lock on the file itself would be in `SQLite`'s way.
#[cfg(not(target_os = "linux"))]
mod lock {
    use std::{
        fs::{File, TryLockError},
        io,
        path::Path,
    };

    /// None when somebody has it.
    pub(super) fn take(path: &Path) -> io::Result<Option<File>> {
        let lock = path.canonicalize()?.with_added_extension("lock");
        super::create_file(&lock)?;
        let file = File::open(&lock)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use sea_orm::ConnectionTrait;
    use tempfile::TempDir;

    use super::{
        super::{connect, migrate},
        *,
    };

    fn url(path: &Path) -> SecretString {
        format!("sqlite://{}", path.display()).into()
    }

    #[test]
    fn a_file_is_in_use_by_whatever_name() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("data/gateway.sqlite");
        let held = lock_file(&url(&file)).unwrap();
        assert!(held.is_some());
        let by_symlink = directory.path().join("symlink.sqlite");
        symlink(&file, &by_symlink).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        symlink(directory.path().join("data"), &elsewhere).unwrap();
        let roundabout = directory.path().join("data/../data/./gateway.sqlite");
        let mut names = vec![
            file.clone(),
            by_symlink,
            elsewhere.join("gateway.sqlite"),
            roundabout,
        ];
        if cfg!(target_os = "linux") {
            let by_hard_link = directory.path().join("hard-link.sqlite");
            fs::hard_link(&file, &by_hard_link).unwrap();
            names.push(by_hard_link);
        }
        for name in &names {
            let refused = lock_file(&url(name)).unwrap_err();
            assert!(matches!(refused, DatabaseError::InUse { .. }), "{refused}");
        }
        for form in ["sqlite:", "sqlite:///"] {
            let path = file.to_str().unwrap().trim_start_matches('/');
            let slash = if form == "sqlite:" { "/" } else { "" };
            let url = format!("{form}{slash}{path}?mode=rwc").into();
            assert!(lock_file(&url).is_err(), "{form}");
        }
        drop(held);
        for name in &names {
            assert!(lock_file(&url(name)).unwrap().is_some());
        }
    }

    #[test]
    fn a_gateway_of_a_release_before_keeps_this_one_out() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("gateway.sqlite");
        let lock = File::create(file.with_added_extension("lock")).unwrap();
        lock.try_lock().unwrap();
        let refused = lock_file(&url(&file)).unwrap_err();
        assert!(matches!(refused, DatabaseError::InUse { .. }), "{refused}");
        drop(lock);
        assert!(lock_file(&url(&file)).unwrap().is_some());
    }

    #[test]
    fn a_copy_and_a_new_file_of_the_name_are_free() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("gateway.sqlite");
        let _held = lock_file(&url(&file)).unwrap();
        let copy = directory.path().join("copy.sqlite");
        fs::copy(&file, &copy).unwrap();
        assert!(lock_file(&url(&copy)).unwrap().is_some());
        fs::remove_file(&file).unwrap();
        assert!(lock_file(&url(&file)).unwrap().is_some());
    }

    #[tokio::test]
    async fn the_lock_is_not_in_the_way_of_the_database() {
        let directory = TempDir::new().unwrap();
        let url = url(&directory.path().join("gateway.sqlite"));
        let held = lock_file(&url).unwrap();
        let database = connect(&url, 1).await.unwrap();
        migrate(&database).await.unwrap();
        assert!(lock_file(&url).is_err());
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE); VACUUM";
        database.execute_unprepared(checkpoint).await.unwrap();
        database.close().await.unwrap();
        assert!(lock_file(&url).is_err());
        drop(held);
        assert!(lock_file(&url).unwrap().is_some());
    }
}
