//! What a server says, in the protocol's bytes (MS-TDS 7.4): the tokens of its replies.
//!
//! It must not know what was asked.

#![expect(clippy::big_endian_bytes, reason = "the protocol has its version so")]

pub(super) const DONE_MORE: u16 = 1;
const DONE_ERROR: u16 = 2;
pub(super) const DONE_COUNT: u16 = 16;

pub(super) fn done(status: u16, rows: u64) -> Vec<u8> {
    [&[0xfd][..], &status.to_le_bytes(), &[0, 0], &rows.to_le_bytes()].concat()
}

/// Encryption of everything, or of nothing, whatever the client asks for.
pub(super) fn prelogin(is_encrypted: bool) -> Vec<u8> {
    let encryption = if is_encrypted { 1 } else { 2 };
    vec![0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, encryption]
}

pub(super) fn login_ack() -> Vec<u8> {
    let body = [&[1][..], &0x7400_0004_u32.to_be_bytes(), &[0], &[16, 0, 0, 0]].concat();
    token(0xad, &body)
}

pub(super) fn change(kind: u8, values: &[u8]) -> Vec<u8> {
    token(0xe3, &[&[kind][..], values].concat())
}

fn error(code: u32) -> Vec<u8> {
    let text = "told so";
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    let end = [&[0, 0][..], &1_u32.to_le_bytes()].concat();
    token(0xaa, &[&code.to_le_bytes()[..], &[1, 16], &length, &wide(text), &end].concat())
}

/// The reply to a statement that is not done.
pub(super) fn failed(code: u32) -> Vec<u8> {
    [error(code), done(DONE_ERROR, 0)].concat()
}

fn token(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_le_bytes();
    [&[kind][..], &length, body].concat()
}

// Types of columns.
pub(super) const BIGINT: &[u8] = &[0x7f];
pub(super) const TINYINT: &[u8] = &[0x30];
pub(super) const NULLABLE_BIGINT: &[u8] = &[0x26, 8];

/// The columns of a table, all of which may be written.
pub(super) fn columns(columns: &[(&str, &[u8])]) -> Vec<u8> {
    let count = u16::try_from(columns.len()).unwrap().to_le_bytes();
    let columns: Vec<u8> = columns.iter().flat_map(|(name, kind)| column(name, kind)).collect();
    [&[0x81][..], &count, &columns].concat()
}

fn column(name: &str, kind: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[0, 0, 0, 0, 8, 0][..], kind, &[length], &wide(name)].concat()
}

pub(super) fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[derive(Clone, Copy)]
pub(super) enum Value {
    Digest([u8; 16]),
    Flag(bool),
    Number(i64),
    Small(i16),
    Text(&'static str),
}

impl Value {
    /// The type of its column.
    fn kind(self) -> &'static [u8] {
        match self {
            Self::Digest(_) => &[0xad, 16, 0],
            Self::Flag(_) => &[0x68, 1],
            Self::Number(_) => NULLABLE_BIGINT,
            Self::Small(_) => &[0x26, 2],
            // At most 4,000 letters, and their collation.
            Self::Text(_) => &[0xe7, 0x40, 0x1f, 9, 4, 0xd0, 0, 0x34],
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Digest(bytes) => [&[16, 0][..], &bytes].concat(),
            Self::Flag(flag) => vec![1, flag.into()],
            Self::Number(number) => [&[8][..], &number.to_le_bytes()].concat(),
            Self::Small(number) => [&[2][..], &number.to_le_bytes()].concat(),
            Self::Text(text) => {
                let text = wide(text);
                [&u16::try_from(text.len()).unwrap().to_le_bytes()[..], &text].concat()
            }
        }
    }
}

/// A reply of one row, whose columns have no names.
pub(super) fn row(values: &[Value]) -> Vec<u8> {
    let kinds: Vec<_> = values.iter().map(|value| ("", value.kind())).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.bytes()).collect();
    [&columns(&kinds)[..], &[0xd1], &bytes, &done(DONE_COUNT, 1)].concat()
}
