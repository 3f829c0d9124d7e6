//! `myelin`: one sidecar per machine.
mod config;
fn main() {
    let _ = config::Sources::default().load();
}
