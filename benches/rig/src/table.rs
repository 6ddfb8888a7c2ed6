//! What is printed.

/// The middle of `values`.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

/// The value that `share` percent of `values` do not exceed.
pub(crate) fn percentile(values: &mut [f64], share: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * share / 100).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// A table in Markdown.
pub(crate) fn print(header: &[&str], rows: &[Vec<String>]) {
    let line = |cells: Vec<&str>| println!("| {} |", cells.join(" | "));
    println!();
    line(header.to_vec());
    line(vec!["---"; header.len()]);
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    println!();
}

/// Whether what was measured is at least what it must be.
pub(crate) fn at_least(what: &str, measured: f64, wanted: f64) {
    verdict(what, measured >= wanted, measured, "at least", wanted);
}

/// Whether what was measured is at most what it may be.
pub(crate) fn at_most(what: &str, measured: f64, wanted: f64) {
    verdict(what, measured <= wanted, measured, "at most", wanted);
}

fn verdict(what: &str, passed: bool, measured: f64, relation: &str, wanted: f64) {
    // What it is held against was not measured.
    if measured.is_nan() {
        return;
    }
    let verdict = if passed { "PASS" } else { "MISS" };
    println!("{verdict} {what}: {measured:.2}, {relation} {wanted:.2}");
}
