//! What the operating system keeps account of for a process, as `/proc` shows it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Time on the processor that a process has had so far, and that of children it had and has waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) parent: u32,
    pub(crate) own: Duration,
    pub(crate) of_children_gone: Duration,
}

/// None when there is no such process.
pub(crate) fn times(pid: u32) -> Option<Times> {
    let stat = fs::read_to_string(file(pid, "stat")).ok()?;
    // The name, in parentheses, may hold spaces; what follows it begins with field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields[at - 3].parse::<u64>().expect("a number of ticks");
    // A tick is 10 ms: USER_HZ is 100 wherever Linux runs.
    let time = |user: usize| Duration::from_millis((ticks(user) + ticks(user + 1)) * 10);
    Some(Times {
        parent: fields[1].parse().expect("a process"),
        own: time(14),
        of_children_gone: time(16),
    })
}

/// Bytes, from the line of `/proc/PID/status` that begins with `name`.
pub(crate) fn memory(pid: u32, name: &str) -> u64 {
    kib(&read(&file(pid, "status")), name) * 1024
}

/// Open file descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    let open = fs::read_dir(file(pid, "fd")).expect("a running process");
    open.count()
}

/// How many descriptors a process may have open that this one starts.
pub(crate) fn most_descriptors() -> usize {
    let limits = read(Path::new("/proc/self/limits"));
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    // The word for no limit at all is no number.
    soft.map_or(usize::MAX, |soft| soft.parse().unwrap_or(usize::MAX))
}

/// Bytes that the kernel cannot give back, sockets among them, and what waits in TCP's buffers.
pub(crate) fn kernel_memory() -> u64 {
    let slabs = kib(&read(Path::new("/proc/meminfo")), "SUnreclaim:") * 1024;
    let sockets = read(Path::new("/proc/net/sockstat"));
    let pages = sockets
        .lines()
        .find_map(|line| line.strip_prefix("TCP:")?.rsplit_once("mem "))
        .map_or(0, |(_, pages)| pages.parse().expect("a number of pages"));
    slabs + pages * 4096
}

fn kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.expect("a line of this name");
    line.trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number of KiB")
}

fn file(pid: u32, name: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(name)
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("a file of /proc of a running process")
}
