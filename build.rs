//! Has the binary built again when the web pages that it carries have changed.

fn main() {
    println!("cargo:rerun-if-changed=web/dist");
}
