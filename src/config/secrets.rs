//! Secrets that nobody has given: made once, and kept in the data directory for their owner alone.
//!
//! It must not know what they are for.

use std::fmt;
use std::io;
use std::path::Path;

pub(super) const SECRET_NAME: &str = "secret";
pub(super) const WEBHOOK_SECRET_NAME: &str = "payment-webhook-secret";
/// Files of the data directory that hold secrets which nobody has given.
pub const KEPT_SECRETS: [&str; 2] = [SECRET_NAME, WEBHOOK_SECRET_NAME];

/// A secret of 32 bytes that is never printed.
#[derive(Clone)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret of the data directory: made where it is not there.
///
/// # Errors
/// What the operating system says of the file.
pub(super) fn kept(data: &Path, name: &str) -> io::Result<Secret> {
    let path = data.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let bytes = bytes.try_into().map_err(|_| {
                let detail = format!("the file {name} is not 32 bytes");
                io::Error::new(io::ErrorKind::InvalidData, detail)
            })?;
            Ok(Secret(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = Secret(crate::random_bytes()?);
            write_private(&path, &secret.0)?;
            Ok(secret)
        }
        Err(error) => Err(error),
    }
}

/// Writes a file that its owner alone may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let making = path.with_extension("making");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&making)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&making, path)
}
