//! Files that others have access to, and names that mean nothing, are told when the gateway starts.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::canaries;

/// The warnings of a demo in this directory, until it serves.
fn warnings(directory: &Path, environment: &[(&str, &str)]) -> Vec<String> {
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_intuned-gateway"))
        .env_clear()
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .envs(environment.iter().copied())
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(gateway.stderr.take().unwrap());
    let lines = log.lines().map(Result::unwrap);
    let until_served: Vec<_> = lines
        .take_while(|line| !line.contains("in a browser"))
        .collect();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    canaries::sieve("stderr", until_served.join("\n").as_bytes());
    canaries::assert_no_leaks();
    let warnings = until_served
        .into_iter()
        .filter(|line| line.contains(" WARN "));
    warnings.collect()
}

fn telling<'a>(warnings: &'a [String], of: &str) -> Vec<&'a String> {
    warnings.iter().filter(|line| line.contains(of)).collect()
}

fn chmod(directory: &TempDir, file: &str, mode: u32) {
    let path = directory.path().join(file);
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_the_gateway_makes_itself_is_the_owners_alone() {
    let directory = TempDir::new().unwrap();
    let warned = warnings(directory.path(), &[]);
    assert!(telling(&warned, "chmod").is_empty(), "{warned:?}");
    for file in ["", "-wal", "-shm"] {
        let file = directory.path().join(format!("data/gateway.sqlite{file}"));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file:?}");
    }
}

#[test]
fn files_that_others_may_read_are_told_once_with_the_command_that_mends_them() {
    let directory = TempDir::new().unwrap();
    let documents = directory.path().join("documents.json");
    fs::write(&documents, "{}").unwrap();
    fs::write(
        directory.path().join(".env"),
        "TRUSTED_DOCUMENTS=documents.json\n",
    )
    .unwrap();
    warnings(directory.path(), &[]);
    let files = [
        ".env",
        "data/gateway.secret",
        "data/gateway.sqlite",
        "data/gateway.sqlite-wal",
        "data/gateway.sqlite-shm",
    ];
    for file in files {
        chmod(&directory, file, 0o644);
    }
    chmod(&directory, "documents.json", 0o666);
    let warned = warnings(directory.path(), &[]);
    for file in files {
        let command = format!("chmod go-rwx {file}");
        let told = warned.iter().filter(|line| line.ends_with(&command));
        assert_eq!(told.count(), 1, "{file}: {warned:?}");
    }
    assert_eq!(
        telling(&warned, "chmod go-w documents.json").len(),
        1,
        "{warned:?}"
    );
    assert_eq!(telling(&warned, "chmod").len(), 6, "{warned:?}");

    let mend: Vec<_> = telling(&warned, "chmod")
        .iter()
        .map(|line| line[line.find("chmod").unwrap()..].to_owned())
        .collect();
    let shell = Command::new("sh")
        .args(["-ec", &mend.join("\n")])
        .current_dir(directory.path())
        .status();
    assert!(shell.unwrap().success());
    let warned = warnings(directory.path(), &[]);
    assert!(telling(&warned, "chmod").is_empty(), "{warned:?}");
}

#[test]
fn a_name_that_is_no_setting_is_told_with_the_nearest() {
    let directory = TempDir::new().unwrap();
    let file =
        "LISTEN_ADRR=canary\nRUST_BACKTRACE=1\nOTEL_SERVICE_NAME=x\nPOSTGRES_PASSWORD=canary\n";
    fs::write(directory.path().join(".env"), file).unwrap();
    chmod(&directory, ".env", 0o600);
    let warned = warnings(directory.path(), &[]);
    let told = telling(&warned, "is no setting");
    assert_eq!(told.len(), 1, "{warned:?}");
    assert!(told[0].contains("LISTEN_ADRR in .env"), "{told:?}");
    assert!(told[0].ends_with("the nearest is LISTEN_ADDR"), "{told:?}");
}

/// A compose file's `env_file` has it there, say. Otherwise the environment is everybody's.
#[test]
fn a_name_in_the_environment_that_is_nearly_a_settings_is_told_with_the_nearest() {
    let directory = TempDir::new().unwrap();
    let environment = [
        ("INTUNED_APIKEY", "canary"),
        ("LISTEN_ADR", "canary"),
        ("LANG", "C"),
        ("PATH", "/bin"),
        ("HOME", "/"),
        ("HOSTNAME", "gateway"),
        ("RUST_BACKTRACE", "1"),
        ("CARGO_HOME", "/"),
        ("INTUNED_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("INTUNED_GATEWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
    ];
    let warned = warnings(directory.path(), &environment);
    let told = telling(&warned, "is no setting");
    assert_eq!(told.len(), 2, "{warned:?}");
    for (told, name, nearest) in [
        (told[0], "INTUNED_APIKEY", "INTUNED_API_KEY"),
        (told[1], "LISTEN_ADR", "LISTEN_ADDR"),
    ] {
        assert!(
            told.contains(&format!("{name} in the environment")),
            "{told}"
        );
        assert!(
            told.ends_with(&format!("the nearest is {nearest}")),
            "{told}"
        );
    }
}

/// As compose files pass on what is not there.
#[test]
fn a_setting_that_is_empty_is_a_setting_all_the_same() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(".env"), "INTUNED_BASE_URL=\n").unwrap();
    let environment = [
        ("WEBHOOK_URL", ""),
        ("HTTPS_PROXY", ""),
        ("https_proxy", "proxy:1"),
    ];
    let warned = warnings(directory.path(), &environment);
    let told = telling(&warned, "is no setting");
    assert!(told.is_empty(), "{warned:?}");
}

#[test]
fn a_name_that_is_in_the_file_and_the_environment_is_told_once() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(".env"), "LISTEN_ADRR=x\n").unwrap();
    let warned = warnings(directory.path(), &[("LISTEN_ADRR", "x")]);
    assert_eq!(telling(&warned, "is no setting").len(), 1, "{warned:?}");
}
