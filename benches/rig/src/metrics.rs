//! What the gateway says of itself, where nobody else can tell.

use std::net::SocketAddr;

use crate::http;

/// A histogram's buckets: upper bound, and how many values do not exceed it.
pub(crate) type Buckets = Vec<(f64, f64)>;

/// The histogram of this name, without labels.
pub(crate) async fn histogram(address: SocketAddr, name: &str) -> Buckets {
    let page = http::get(address, "/metrics").await.expect("metrics");
    let page = String::from_utf8(page).expect("text");
    let start = format!("{name}_bucket{{le=\"");
    page.lines()
        .filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "))
        .map(|(bound, count)| {
            let bound = bound.parse().unwrap_or(f64::INFINITY);
            (bound, count.parse().expect("a count"))
        })
        .collect()
}

/// The value that `share` percent of what came between two looks does not exceed, by straight lines
/// between the bounds.
pub(crate) fn percentile(before: &Buckets, after: &Buckets, share: f64) -> f64 {
    let count_before = |bound: f64| {
        let same = before
            .iter()
            .find(|(other, _)| other.total_cmp(&bound).is_eq());
        same.map_or(0.0, |(_, count)| *count)
    };
    let counts: Vec<(f64, f64)> = after
        .iter()
        .map(|(bound, count)| (*bound, count - count_before(*bound)))
        .collect();
    let wanted = counts.last().map_or(0.0, |(_, all)| all * share / 100.0);
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in counts {
        if count >= wanted {
            if bound.is_infinite() {
                return low;
            }
            return low + (bound - low) * (wanted - below) / (count - below).max(1.0);
        }
        (low, below) = (bound, count);
    }
    low
}
