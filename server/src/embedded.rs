//! Files that travel inside the binary, by path below their folder.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
