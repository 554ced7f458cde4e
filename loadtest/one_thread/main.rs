//! A gateway in one thread, its clock standing still: what is said of the same sale in the same state.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../fuzz/fuzz_targets/gateway/mod.rs"]
#[expect(dead_code, reason = "the fuzz targets send requests in another way")]
mod gateway;
mod hot_path;
mod room;
