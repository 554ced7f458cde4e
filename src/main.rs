//! The one binary: read the configuration, recover, serve, drain, exit.

use std::process::ExitCode;

/// What the allocator costs is most of what a small request costs. Version 2 of mimalloc, since
/// early releases of version 3 crash with several threads (microsoft/mimalloc#1287).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    seckill::cli::run()
}
