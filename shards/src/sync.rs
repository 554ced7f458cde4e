//! Where atomics come from: the standard library, or loom while its models run.
//! It must not know what they are used for; nothing else in the crate names either source.

#[cfg(not(loom))]
pub(crate) use std::{hint, sync::atomic};

#[cfg(loom)]
pub(crate) use loom::hint;

/// loom's atomics, with loads that cannot be overlooked.
///
/// Of each atomic, loom 0.7.3 remembers one last access. A thread that loads and then exchanges
/// finds its own load there, never that of a reader before it, so the schedule in which the
/// exchange comes first is not run and a model passes unexplored. Here a load is an exchange that
/// changes nothing: it conflicts with every access, and every schedule is run. It never returns an
/// old value; sequentially consistent code, which all users of this file are, sees none either.
#[cfg(loom)]
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::Ordering;

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.fetch_add(0, order)
                }

                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_add(value, order)
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    next: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(current, next, success, failure)
                }
            }
        };
    }

    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);

    impl AtomicU32 {
        pub(crate) fn fetch_update(
            &self,
            success: Ordering,
            failure: Ordering,
            mut next: impl FnMut(u32) -> Option<u32>,
        ) -> Result<u32, u32> {
            let mut seen = self.load(failure);
            while let Some(next) = next(seen) {
                match self.compare_exchange(seen, next, success, failure) {
                    Ok(before) => return Ok(before),
                    Err(now) => seen = now,
                }
            }
            Err(seen)
        }
    }
}
