//! The process itself, under the names that Prometheus's own libraries use.

use std::fs;

use chrono::{DateTime, Utc};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// Shows what the process uses, and since when.
pub fn register_process(registry: &mut Registry, started: DateTime<Utc>) {
    registry.register_collector(Box::new(Process { started }));
}

/// Shows which build it is.
pub fn register_build(registry: &mut Registry) {
    registry.register(
        "build",
        "The build that is running",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
}

#[derive(Debug)]
struct Process {
    started: DateTime<Utc>,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds, as Prometheus has them"
        )]
        let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let metric = encoder.encode_descriptor(
            "process_cpu",
            "CPU time that the process has used",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?;
        ConstCounter::new(cpu).encode(metric)?;

        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds, as Prometheus has them"
        )]
        let started = self.started.timestamp_millis() as f64 / 1e3;
        let metric = encoder.encode_descriptor(
            "process_start_time",
            "When the process started, in seconds since the Unix epoch",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        ConstGauge::new(started).encode(metric)?;

        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory of the process that is in RAM",
                resident_bytes(),
            ),
            (
                "process_open_fds",
                "File descriptors that the process has open",
                open_descriptors(),
            ),
            (
                "process_max_fds",
                "The most file descriptors that the process may have open",
                getrlimit(Resource::Nofile).current,
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }
}

/// None where there is no `/proc`.
fn resident_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let resident: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(resident * page)
}

/// Newer kernels say it at once; on others the entries are counted.
fn open_descriptors() -> Option<u64> {
    const PATH: &str = "/proc/self/fd";
    let told = fs::metadata(PATH).ok()?.len();
    if told > 0 {
        return Some(told);
    }
    let counted = fs::read_dir(PATH).ok()?.count();
    // One of them is the directory itself.
    u64::try_from(counted.saturating_sub(1)).ok()
}
