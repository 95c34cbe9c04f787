//! A folder that is gone when the test is over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A new, empty folder of its own.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates one.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Folder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("interlingua-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("temporary folders can be created");
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it and yields the file's path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("files are in folders")).expect("folders can be created");
        fs::write(&path, text).expect("files can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is the temporary folder's problem.
        let _ = fs::remove_dir_all(&self.0);
    }
}
