//! What the tests share: where things are, expectations in files, a scripted provider, a gateway to
//! test, and a client that says exactly what it is told. Knows no provider and no wire format.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test code: what goes wrong here fails a test"
)]

pub mod binary;
pub mod client;
pub mod folder;
pub mod gateway;
pub mod h2;
pub mod http;
pub mod process;
pub mod promises;
pub mod snapshot;
pub mod tls;
pub mod upstream;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a folder").to_path_buf()
}

/// Longest wait for anything that must happen: generous, because it only passes when something is broken.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for what must happen, and fails the test if it does not.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for: {what}"))
}
