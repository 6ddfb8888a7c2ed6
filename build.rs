//! Has the binary built again when the web pages that it carries have changed.

#[expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]
fn main() {
    println!("cargo:rerun-if-changed=web/dist");
}
