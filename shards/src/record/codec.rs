//! The bytes of a record: `kind: u8 | length: u16 | rkyv payload`.
//!
//! It knows how a payload becomes bytes; it does not know what a record means.

use rkyv::rancor::{Error as RkyvError, Fallible, Strategy};
use rkyv::ser::Serializer;
use rkyv::ser::allocator::SubAllocator;
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith};
use rkyv::{Archive, Archived, Place, Serialize};

use super::{
    CounterKept, EraEntered, KeyKept, LeaseClosed, LeaseJoined, LeaseKept, LeasedOrderKept,
    OrderKept, OrderMoved, OrderPaid, OrderPlaced, OrderRefunded, OrdersConfirmed, OrdersReleased,
    PaymentKept, PaymentMoved, PaymentStarted, PaymentStatus, PhaseChanged, PhaseFollowed, Record,
    Status, UnitsLeased, UnitsLeft, UnitsLeftOnce,
};
use crate::limits::RECORD_BYTES_MAX;

/// An id or an instant, archived as the number it is.
#[derive(Debug)]
pub(super) struct Number;

impl<T: Copy + Into<u64>> ArchiveWith<T> for Number {
    type Archived = Archived<u64>;
    type Resolver = ();

    fn resolve_with(field: &T, (): (), out: Place<Self::Archived>) {
        (*field).into().resolve((), out);
    }
}

impl<T: Copy + Into<u64>, S: Fallible + ?Sized> SerializeWith<T, S> for Number {
    fn serialize_with(_: &T, _: &mut S) -> Result<(), S::Error> {
        Ok(())
    }
}

impl<T: From<u64>, D: Fallible + ?Sized> DeserializeWith<Archived<u64>, T, D> for Number {
    fn deserialize_with(field: &Archived<u64>, _: &mut D) -> Result<T, D::Error> {
        Ok(T::from(field.to_native()))
    }
}

/// Bytes, archived as they are and moved whole: rkyv moves an array byte by byte, and reading it
/// back at once stalls on each.
#[derive(Debug)]
pub(super) struct Whole;

impl<const N: usize> ArchiveWith<[u8; N]> for Whole {
    type Archived = [u8; N];
    type Resolver = ();

    fn resolve_with(field: &[u8; N], (): (), out: Place<Self::Archived>) {
        out.write(*field);
    }
}

impl<const N: usize, S: Fallible + ?Sized> SerializeWith<[u8; N], S> for Whole {
    fn serialize_with(_: &[u8; N], _: &mut S) -> Result<(), S::Error> {
        Ok(())
    }
}

impl<const N: usize, D: Fallible + ?Sized> DeserializeWith<[u8; N], [u8; N], D> for Whole {
    fn deserialize_with(field: &[u8; N], _: &mut D) -> Result<[u8; N], D::Error> {
        Ok(*field)
    }
}

/// Lets the macro treat a boxed payload like the payload.
pub(super) trait Inner {
    type Of;
    fn inner(&self) -> &Self::Of;
}

impl<T> Inner for Box<T> {
    type Of = T;
    fn inner(&self) -> &T {
        self
    }
}

macro_rules! inner {
    ($($type:ty),+) => {$(
        impl Inner for $type {
            type Of = Self;
            fn inner(&self) -> &Self {
                self
            }
        }
    )+};
}
inner!(PhaseChanged, UnitsLeft, UnitsLeftOnce, OrderPlaced, OrderPaid, OrderMoved, OrderRefunded);
inner!(LeaseJoined, EraEntered, UnitsLeased, OrdersConfirmed, OrdersReleased, LeaseKept);
inner!(LeasedOrderKept, LeaseClosed, PhaseFollowed);
inner!(PaymentStarted, PaymentMoved, OrderKept, PaymentKept, KeyKept, CounterKept);

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a record.
    #[error("the bytes end inside a record")]
    Short,
    /// A newer version wrote it.
    #[error(
        "record kind {kind} is not known: a newer version of seckill wrote it, and one that knows \
         kind {kind} is needed"
    )]
    UnknownKind {
        /// The number found.
        kind: u8,
    },
    /// The payload is not of its kind.
    #[error("the payload of a record of kind {kind} is not valid")]
    Invalid {
        /// The number found.
        kind: u8,
    },
}

const HEAD_BYTES: usize = 3;

impl Record {
    /// Appends the record's bytes; returns how many.
    ///
    /// # Panics
    /// When a record is larger than [`RECORD_BYTES_MAX`]: titles are bounded where they come in.
    pub fn encode(&self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[self.kind(), 0, 0]);
        self.encode_payload(out);
        let bytes = out.len() - start;
        assert!(bytes <= RECORD_BYTES_MAX, "a record of {bytes} bytes");
        let length = u16::try_from(bytes - HEAD_BYTES).expect("bounded above");
        out[start + 1..start + HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Takes the first record off `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are cut, of an unknown kind or not valid.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or(DecodeError::Short)?;
        let length = usize::from(u16::from_le_bytes([head[1], head[2]]));
        let (payload, rest) = rest.split_at_checked(length).ok_or(DecodeError::Short)?;
        *bytes = rest;
        let record = Self::decode_payload(head[0], payload)?;
        if record.has_known_status() {
            Ok(record)
        } else {
            Err(DecodeError::Invalid { kind: head[0] })
        }
    }

    /// Whether a status that is kept as a number is one.
    fn has_known_status(&self) -> bool {
        if let Self::OrderKept(kept) | Self::LeasedOrderKept(LeasedOrderKept { kept, .. }) = self {
            return Status::from_number(kept.status).is_some();
        }
        if let Self::PaymentKept(kept) = self {
            return PaymentStatus::from_number(kept.status).is_some();
        }
        true
    }
}

pub(super) fn serialize<T>(payload: &T, out: &mut Vec<u8>)
where
    T: for<'a, 'b> Serialize<
        Strategy<Serializer<&'a mut Vec<u8>, SubAllocator<'b>, ()>, RkyvError>,
    >,
{
    // A list of numbers needs none while it is written, and nothing else asks.
    let scratch = SubAllocator::new(&mut []);
    rkyv::api::serialize_using(payload, &mut Serializer::new(out, scratch, ()))
        .expect("a vector takes all bytes, and records share nothing");
}
